// The part of sysfs that libibverbs reads, for the software devices: class/infiniband_verbs and class/infiniband
// (Documentation/ABI/stable/sysfs-class-infiniband), generated in a private temporary directory.
//
// The real devices of the machine are linked into it, so that they stay visible: libibverbs lists one directory.
#pragma once

#include <string>

#include "device/identity.h"

namespace soft {

class SysfsTree {
 public:
  SysfsTree() = default;
  ~SysfsTree() { remove(); }
  SysfsTree(const SysfsTree&) = delete;
  SysfsTree& operator=(const SysfsTree&) = delete;

  // Makes the directory, empty but for the machine's own devices. An errno, or 0.
  int create();
  int add(const DeviceIdentity& device);
  int withdraw(const DeviceIdentity& device);

  // Whether the file at `path`, below the tree, says if a port, numbered from 1, has a carrier; and writes what it
  // says.
  static bool saysCarrier(const std::string& path, const DeviceIdentity& device, size_t port);
  void setCarrier(const DeviceIdentity& device, size_t port, bool up);

  void remove();

  // The name of the directory; empty when there is none.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

// Removes the directories that killed processes left behind.
void sweepSysfsTrees();

}  // namespace soft

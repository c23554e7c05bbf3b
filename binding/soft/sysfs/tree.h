// What sysfs says of the software devices, shaped as the kernel shapes it: a PCI function with its attributes, and
// below it infiniband/, infiniband_verbs/, infiniband_mad/ and net/, with links from the classes and the bus
// (Documentation/ABI/stable/sysfs-class-infiniband, drivers/infiniband/core/sysfs.c, drivers/pci/pci-sysfs.c).
//
// It is a directory of its own, to which the hooks lead, or lies in a file system that `ibverbs soft` mounted over /sys
// (launch/). What nothing here measures is left out: counters, hw_counters, statistics.
#pragma once

#include <string>
#include <vector>

#include "device/identity.h"
#include "sysfs/folder.h"

namespace soft {

class SysfsTree {
 public:
  SysfsTree() = default;
  ~SysfsTree() { remove(); }
  SysfsTree(const SysfsTree&) = delete;
  SysfsTree& operator=(const SysfsTree&) = delete;

  // Makes a private temporary directory for these devices. The machine's own are linked into the directories that list
  // them, so that they stay visible: whoever looks reads one directory. An errno, or 0.
  int create(const std::vector<DeviceIdentity>& devices);

  // Takes the tree of these very devices that is mounted over /sys, if it is: `card` is what lies in its kMarker.
  bool adopt(const std::vector<DeviceIdentity>& devices, const std::string& card);

  // The file of the tree that answers for `path`, which begins below /sys; empty where the machine's own does.
  std::string redirect(const std::string& path) const;
  // Whether redirect() leads to a directory that lists devices, in the order of their numbers.
  bool lists(const std::string& path) const;
  // The path below /sys that leads to `path`, which lies in the directory; empty when it does not.
  std::string original(const std::string& path) const;

  // Whether the file at `path`, below /sys, says if a port, numbered from 1, has a carrier; and writes what it says.
  bool saysCarrier(const std::string& path, size_t* device, size_t* port) const;
  void setCarrier(size_t device, size_t port, bool up);

  void remove();

 private:
  struct Place {
    std::string name, folder;        // the folder of infiniband/NAME, below /sys
    std::vector<std::string> roots;  // all paths at which something of it begins
  };
  void place(const std::vector<DeviceIdentity>& devices);

  std::string path_;  // empty: there is none
  bool mounted_ = false;
  int lock_ = -1;
  std::vector<Place> places_;
};

// Directories that list the machine's devices beside ours.
constexpr const char* kLists[] = {"/class/infiniband", "/class/infiniband_verbs", "/class/infiniband_mad",
                                  "/bus/pci/devices", "/bus/pci/drivers/mlx5_core"};
// Attributes of the whole machine: those of ours are the kernel's.
constexpr const char* kAttributes[] = {"/class/infiniband_verbs/abi_version", "/class/infiniband_mad/abi_version"};

// The file at the root of a mounted tree that holds the specification of its devices, with their addresses.
constexpr char kMarker[] = "/.ibverbs-soft";

// Writes the tree of the devices.
void writeTree(Folder& tree, const std::vector<DeviceIdentity>& devices);

// Removes the directories that killed processes left behind.
void sweepSysfsTrees();

}  // namespace soft

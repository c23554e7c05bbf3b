// All the software devices of this process, their thread, and what libibverbs and libmlx5 have open of them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "device/device.h"
#include "device/specification.h"
#include "driver/driver.h"
#include "sysfs/tree.h"
#include "uverbs/verbs_file.h"

namespace soft {

class World {
 public:
  World() = default;
  ~World() { driver_.stop(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Shows the devices of a specification in sysfs: whoever only reads needs no NIC and takes no seat at a wire. With
  // `card`, the text that `ibverbs soft` mounted a tree of, that tree is taken, if it is there. An errno and the words
  // for it, or 0.
  int describe(const std::string& specification, bool card, std::string* words);
  // Makes the devices that describe() showed. An errno and the words for it, or 0; harmless the second time.
  int make(std::string* words);
  // Both.
  int open(const std::string& specification, std::string* words);
  // Unplugs the devices: they are no longer listed; an open context gets IBV_EVENT_DEVICE_FATAL, has its queues
  // flushed, and can only be closed.
  void unplug();
  bool unplugged() const;
  // The program ends: removes what would outlive it, the directory and the sockets of wires. Its other threads may
  // still be ringing doorbells, so the memory stays.
  void endWithProcess();
  // Whether it is unplugged and nothing is open any more: then it may be destroyed.
  bool over();

  const std::vector<std::shared_ptr<Device>>& devices() const { return devices_; }
  Driver& driver() { return driver_; }

  // The file of the generated tree that answers for a path below the root of sysfs, or an empty string; `lists` says
  // whether it lists devices.
  std::string sysfsPath(const std::string& path, bool* lists);
  // The path below /sys of a file of the tree, or an empty string.
  std::string originalPath(const std::string& path) const;
  // The device whose file a path below /dev/infiniband is, or nothing.
  std::shared_ptr<Device> device(const std::string& path) const;
  // Its number: minus one where there is none. It need not be made yet.
  int deviceNumber(const std::string& path) const;

  // open(2) of a device file. A descriptor, or −1 and errno.
  int openFile(const std::shared_ptr<Device>& device);
  std::shared_ptr<uverbs::VerbsFile> file(int descriptor);
  void watch(const std::shared_ptr<uverbs::EventFile>& file);
  std::shared_ptr<uverbs::EventFile> eventFile(int descriptor);
  // Closes one that the program never received.
  void discard(const std::shared_ptr<uverbs::EventFile>& file);
  // close(2) of any descriptor, before it is closed.
  void closing(int descriptor);

  // Around fork(2): no thread is in a critical section when the memory is copied.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  // The descriptors of open device files. In a child of fork(2), which lacks the thread, they are useless.
  std::vector<int> descriptors() const;

 private:
  // While nothing is open no thread steps the NICs: this does, until ports know what has become of their wires.
  void settle();
  bool carrier(size_t device, size_t port) const;

  mutable std::mutex mutex_;
  bool unplugged_ = false;
  std::vector<DeviceSpecification> specifications_;
  std::vector<std::shared_ptr<Device>> devices_;
  SysfsTree tree_;
  Driver driver_;
  std::unordered_map<int, std::shared_ptr<uverbs::VerbsFile>> files_;
  std::unordered_map<int, std::shared_ptr<uverbs::EventFile>> eventFiles_;
};

}  // namespace soft

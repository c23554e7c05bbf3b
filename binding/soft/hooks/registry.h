// The worlds of this process: usually none or one. Of several one at most is plugged in; the others were unplugged
// while a program had something open of them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/world.h"

namespace soft {

class Registry {
 public:
  static Registry& instance();

  // Makes a world. An errno and the words for it, or 0 and its number.
  int add(const std::string& specification, uint32_t* number, std::string* words);
  // Unplugs it; it ends with the last file that is open of it.
  void remove(uint32_t number);
  std::shared_ptr<World> world(uint32_t number);

  // The world that IBVERBS_SOFT asks for is described when somebody first looks into sysfs, and made when libibverbs
  // looks for devices; again in a child after fork(2) that looks for its own. Harmless once it is there; an errno and
  // the words for it when it cannot be made, as often as it is asked for.
  int fromEnvironment(std::string* words);
  // The same where nobody takes the error: written to standard error, once.
  void fromEnvironmentOrComplain();
  // Describes it only.
  void describeEnvironment();
  bool any();

  // What the hooks ask. Paths are empty, numbers negative and pointers null where nothing here is concerned; a path of
  // sysfs begins below its root.
  std::string sysfsPath(const std::string& path, bool* lists);
  std::string originalPath(const std::string& path);
  int deviceNumber(const std::string& path);
  std::shared_ptr<Device> device(const std::string& path, std::shared_ptr<World>* world);
  std::shared_ptr<uverbs::VerbsFile> file(int descriptor);
  // A device file that this process has from its parent, by fork(2), or whose NIC has ended with exit(3).
  bool isOrphan(int descriptor);
  void closing(int descriptor);
  bool unmapping(void* page);

 private:
  Registry();
  static void beforeFork();
  static void afterForkInParent();
  static void afterForkInChild();
  std::vector<std::shared_ptr<World>> worlds();
  void sweep();
  int describe(const std::string& specification, bool card, std::string* words);
  void forgetDescribed();
  void complain(const std::string& words);

  struct Entry {
    uint32_t number;
    std::shared_ptr<World> world;
  };
  std::mutex mutex_;
  std::mutex environmentMutex_;  // before mutex_
  std::vector<Entry> entries_;
  std::vector<int> orphans_;
  uint32_t next_ = 1;
  bool environmentDone_ = false;
  std::shared_ptr<World> described_;  // of the environment, and not made yet
  int claim_ = -1;
  std::atomic<bool> complained_{false};
};

}  // namespace soft

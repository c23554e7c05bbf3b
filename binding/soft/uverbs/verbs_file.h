// An open uverbs device file: a context of libibverbs, and all that was created through it.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "device/device.h"
#include "driver/driver.h"
#include "uverbs/command.h"
#include "uverbs/objects.h"
#include "uverbs/table.h"

namespace soft {
class World;
}

// A namespace of its own: the NIC has objects of the same names.
namespace soft::uverbs {

class VerbsFile {
 public:
  VerbsFile(World& world, std::shared_ptr<Device> device);

  // write(2) on it: a command. 0 or an errno.
  int write(uint64_t address, size_t length);
  // mmap(2) on it (mlx5-abi.h, mlx5_ib_mmap_cmd). MAP_FAILED and errno when refused.
  void* map(size_t length, int protection, off_t offset);
  // The last close: everything that is left is destroyed, as ib_uverbs does. The errno of the first that the NIC would
  // not destroy, which is a mistake of ours.
  int release();

  // For the commands, which run one at a time.
  Nic& nic() { return device->nic; }
  // What waits for others than the NIC: commands of other threads run meanwhile, and may destroy what was found before.
  template <typename Work>
  int whileOthersRun(Work work) {
    struct Unlocked {
      explicit Unlocked(std::mutex& mutex) : mutex(mutex) { mutex.unlock(); }
      ~Unlocked() { mutex.lock(); }
      std::mutex& mutex;
    } const unlocked(mutex_);
    return work();
  }
  std::shared_ptr<EventFile> newEventFile(int* error);
  // Closes one that the program was never told of.
  void discard(const std::shared_ptr<EventFile>& file);
  std::shared_ptr<EventFile> channel(int descriptor);
  // A blue flame register that QPs may share: libmlx5 locks those (mlx5.c, need_uuar_lock).
  uint32_t nextRegister();
  // Where a blue flame register of this context lies, by the index that CREATE_QP carries, and the register that arms
  // completion queues; null where its page was not mapped.
  const void* blueFlame(uint32_t index, bool dynamic) const;
  const void* armRegister() const;
  // Stores to that register's page wait until the NIC has read the records, where a strict device judges by them.
  void holdStores(const void* bell);

  World& world;
  const std::shared_ptr<Device> device;
  std::shared_ptr<EventFile> asynchronousFile;  // null before GET_CONTEXT
  uint32_t registers = 0;                       // tot_bfregs
  uint32_t transportDomain = 0;

  Table<ProtectionDomain> domains{device->quotas.domains};
  Table<MemoryRegion> regions{device->quotas.regions};
  Table<MemoryWindow> windows{device->quotas.windows};
  Table<CompletionQueue> completionQueues{device->quotas.completionQueues};
  Table<QueuePair> queuePairs{device->quotas.queuePairs};
  Table<SharedReceiveQueue> sharedReceiveQueues{device->quotas.sharedReceiveQueues};
  Table<WorkQueue> workQueues{device->quotas.workQueues};
  Table<IndirectionTable> indirectionTables{device->quotas.indirectionTables};
  Table<Flow> flows{device->quotas.flows};
  Table<AddressHandle> addressHandles{device->quotas.addressHandles};

 private:
  std::mutex mutex_;
  uint32_t registerTurn_ = 0;
  std::map<uint32_t, const uint8_t*> pages_, dynamicPages_;  // by the index of mmap's offset
};

// What answers one command: 0 or an errno.
using Handler = int (*)(VerbsFile& file, const Command& command);

// Each file of this folder adds its own.
struct CommandEntry {
  uint32_t number;
  bool extended;
  Handler handler;
};
extern const std::vector<CommandEntry> deviceCommands, memoryCommands, completionCommands, queuePairCommands,
    sharedReceiveCommands, workQueueCommands, flowCommands, addressCommands;

}  // namespace soft::uverbs

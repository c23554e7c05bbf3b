#include "uverbs/verbs_file.h"

#include <rdma/mlx5-abi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "device/world.h"
#include "nic/fault_handler.h"

namespace soft::uverbs {
namespace {

Handler find(uint32_t number, bool extended) {
  for (const auto* group : {&deviceCommands, &memoryCommands, &completionCommands, &queuePairCommands,
                            &sharedReceiveCommands, &workQueueCommands, &flowCommands, &addressCommands}) {
    for (const CommandEntry& entry : *group) {
      if (entry.number == number && entry.extended == extended) return entry.handler;
    }
  }
  return nullptr;
}

// IBVERBS_SOFT_DEBUG=1: what was refused, by name.
void tell(const Command& command, int error) {
  static const bool wanted = getenv("IBVERBS_SOFT_DEBUG") != nullptr;
  if (wanted) {
    fprintf(stderr, "soft: %s%s: %s\n",
            command.extended() && command.number() < IB_USER_VERBS_CMD_THRESHOLD ? "EX_" : "",
            commandName(command.number(), command.extended()), strerror(error));
  }
}

// mlx5_ib_clock_info: the core clock counts nanoseconds of CLOCK_MONOTONIC, so one pair of times is enough for ever.
void* mapClock(size_t length) {
  void* page = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return page;
  auto* info = static_cast<mlx5_ib_clock_info*>(page);
  timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  info->cycles = monotonicNow();
  info->nsec = static_cast<uint64_t>(wall.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(wall.tv_nsec);
  info->mult = 1;
  info->shift = 0;
  info->mask = ~uint64_t{0};
  info->overflow_period = ~uint64_t{0};
  mprotect(page, length, PROT_READ);
  return page;
}

}  // namespace

VerbsFile::VerbsFile(World& owner, std::shared_ptr<Device> which) : world(owner), device(std::move(which)) {}

int VerbsFile::write(uint64_t address, size_t length) {
  const std::lock_guard<std::mutex> guard(mutex_);
  keepFaultHandler();
  Command command;
  int error = command.parse(address, length);
  if (!error) {
    const Handler handler = find(command.number(), command.extended());
    if (!handler) {
      error = EOPNOTSUPP;
    } else if (!asynchronousFile && handler != find(IB_USER_VERBS_CMD_GET_CONTEXT, false)) {
      error = EINVAL;  // uverbs_main.c: no context yet
    } else {
      error = handler(*this, command);
    }
    if (error) tell(command, error);
  }
  // A command may be all that a sleeping NIC has to do: queues flushed, a timer to set.
  world.driver().wake();
  return error;
}

void* VerbsFile::map(size_t length, int protection, off_t offset) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto what = static_cast<uint64_t>(offset) / page;
  const auto command = static_cast<uint32_t>(what >> 8 & 0xff);
  const auto index = static_cast<uint32_t>(what & 0xff);
  if (!asynchronousFile || length != page) {
    errno = EINVAL;
    return MAP_FAILED;
  }
  switch (command) {
    case MLX5_IB_MMAP_REGULAR_PAGE:
    case MLX5_IB_MMAP_WC_PAGE:
    case MLX5_IB_MMAP_NC_PAGE:
      if (index >= registers / 2) break;  // two blue flame registers a page
      [[fallthrough]];
    case MLX5_IB_MMAP_ALLOC_WC: {  // a thread domain's own
      void* memory = world.driver().takePage();
      if (memory) {
        auto& pages = command == MLX5_IB_MMAP_ALLOC_WC ? dynamicPages_ : pages_;
        pages[index] = static_cast<const uint8_t*>(memory);
        return memory;
      }
      errno = ENOMEM;
      return MAP_FAILED;
    }
    case MLX5_IB_MMAP_CLOCK_INFO:
      if (protection & PROT_WRITE) break;
      return mapClock(length);
    default: break;
  }
  errno = EINVAL;
  return MAP_FAILED;
}

std::shared_ptr<EventFile> VerbsFile::newEventFile(int* error) {
  auto file = std::make_shared<EventFile>();
  *error = file->open();
  if (*error) return nullptr;
  device->track(file);
  world.watch(file);
  return file;
}

void VerbsFile::discard(const std::shared_ptr<EventFile>& file) { world.discard(file); }

std::shared_ptr<EventFile> VerbsFile::channel(int descriptor) { return world.eventFile(descriptor); }

uint32_t VerbsFile::nextRegister() {
  // bfs[] of libmlx5 has four registers a page, of which the first two may be used; register 0 has no blue flame. Those
  // of the first half of the pages have locks.
  const uint32_t shared = registers / 2;
  if (shared < 2) return 0;
  // On a strict device stores to the page that arms completion queues may be held: where there are others, no queue
  // pair rings there.
  const uint32_t first = device->attributes.strict && shared > 2 ? 2 : 1;
  const uint32_t turn = first + registerTurn_++ % (shared - first);
  return turn / 2 * 4 + turn % 2;
}

// libmlx5's layout of a page (mlx5.c, mlx5_set_context): MLX5_CQ_DOORBELL, and registers of bf_reg_size bytes from
// MLX5_BF_OFFSET on, of which two may be used.
const void* VerbsFile::blueFlame(uint32_t index, bool dynamic) const {
  const auto& pages = dynamic ? dynamicPages_ : pages_;
  const uint32_t perPage = dynamic ? 2 : 4;
  const auto page = pages.find(index / perPage);
  if (page == pages.end() || index % perPage >= 2) return nullptr;
  return page->second + 0x800 + index % perPage * 512;
}

const void* VerbsFile::armRegister() const {
  const auto page = pages_.find(0);
  return page == pages_.end() ? nullptr : page->second + 0x20;
}

void VerbsFile::holdStores(const void* bell) {
  if (bell != nullptr && nic().judges(bell)) world.driver().hold(bell);
}

int VerbsFile::release() {
  const std::lock_guard<std::mutex> guard(mutex_);
  Nic& engine = device->nic;
  // Objects before those that they refer to; the first refusal is returned, for there must be none.
  int refusal = 0;
  const auto destroyed = [&refusal](int error) { refusal = refusal ? refusal : error; };
  flows.clear([&](Flow& flow) { destroyed(engine.destroyFlow(flow.number)); });
  queuePairs.clear([&](QueuePair& pair) { destroyed(engine.destroyQueuePair(pair.qpn)); });
  indirectionTables.clear([&](IndirectionTable& table) { destroyed(engine.destroyIndirectionTable(table.number)); });
  workQueues.clear([&](WorkQueue& queue) { destroyed(engine.destroyWorkQueue(queue.wqn)); });
  sharedReceiveQueues.clear(
      [&](SharedReceiveQueue& queue) { destroyed(engine.destroySharedReceiveQueue(queue.srqn)); });
  completionQueues.clear([&](CompletionQueue& queue) { destroyed(engine.destroyCompletionQueue(queue.cqn)); });
  windows.clear([&](MemoryWindow& window) { destroyed(engine.destroyMemoryWindow(window.key)); });
  regions.clear([&](MemoryRegion& region) { destroyed(engine.destroyMemoryRegion(region.key)); });
  addressHandles.clear([](AddressHandle&) {});
  domains.clear([&](ProtectionDomain& domain) { destroyed(engine.freeProtectionDomain(domain.pdn)); });
  if (asynchronousFile) {
    engine.freeTransportDomain();
    device->stopListening(asynchronousFile);
  }
  return refusal;
}

}  // namespace soft::uverbs

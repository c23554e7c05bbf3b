// The software ConnectX' NIC: everything behind the PCI bus. A front end creates objects here as firmware commands do
// on the card; the data path is memory alone: step() looks at doorbell records, reads WQEs, moves bytes and writes
// CQEs.
//
// To learn how a NIC works, read: wqe.h (what is asked for), ethernet_transmit.cc (a send queue becomes frames),
// checksum.h and segmentation.h (what the card adds), wire/wire.h, ethernet_receive.cc (a frame finds its queue),
// steering.h and toeplitz.h (which one), receive_queue.h (into whose memory), memory_region.h (and whether it may),
// cqe.h and completion_queue.h (and how its owner learns of it). engine.cc is the loop round all that, activity.cc and
// doorbell_registers.h say whose turn it is; ../roce/ puts reliable messages on top.
//
// Threads: one thread steps, any thread may call the control operations; a mutex, taken once a step, keeps them apart.
// Nothing here makes a system call but a wire that is made of a socket, and nothing asks for the time: step() is told
// it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "nic/attributes.h"
#include "nic/events.h"
#include "wire/wire.h"

namespace soft {

class Engine;

// What the records say to a writer that waits in the fault of its store to a register.
enum class BellState : uint8_t {
  shared,   // no queue rings alone there: the records count
  told,     // no record has news for the register: one may follow too late, or nothing is new, or a copy goes on
  waiting,  // a record has news, as it must be
};

// Control operations return 0 or an errno (EINVAL, ENOENT, EBUSY, EOPNOTSUPP, ENOSPC, EIO once the device is gone).
// Numbers are 24 bits and never 0.
class Nic {
 public:
  Nic(const NicAttributes& attributes, Events& events);
  ~Nic();
  Nic(const Nic&) = delete;
  Nic& operator=(const Nic&) = delete;

  // Ports, numbered from 1.
  int connect(uint8_t port, std::shared_ptr<Wire> wire, int end = 0);
  int setLink(uint8_t port, bool up);  // portActive or portError follows; frames are dropped while it is down
  bool linkUp(uint8_t port);
  uint32_t activeMtu(uint8_t port);                          // bytes; it may change with the wire
  int setGid(uint8_t port, uint32_t index, const Gid& gid);  // what arrives for another address is not ours
  int counters(uint8_t port, PortCounters* counters);

  // A context's: what the raw packet QPs of one send comes back to those of another, see loopBack().
  void allocateTransportDomain(uint32_t* number);
  void freeTransportDomain();

  int allocateProtectionDomain(uint32_t* pdn);
  int freeProtectionDomain(uint32_t pdn);

  // lkey and rkey are the same number: index << 8 | tag. Memory that goes away before the region is destroyed, or a
  // ring's before its queue, is an error of the request or of the queue (guarded.h), where keepFaultHandler() was
  // called.
  int createMemoryRegion(const MemoryRegionAttributes& attributes, uint32_t* mkey);
  int changeMemoryRegion(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey);
  int destroyMemoryRegion(uint32_t mkey);  // EBUSY while memory windows are bound to it
  int createMemoryWindow(uint32_t pd, WindowType type, uint32_t* rkey);
  int destroyMemoryWindow(uint32_t rkey);

  int createCompletionQueue(const CompletionQueueAttributes& attributes, uint32_t* cqn);
  // Writes the RESIZE_CQ entry to the old ring and goes on in the new one (mlx5_cq_resize_copy_cqes copies the rest).
  int resizeCompletionQueue(uint32_t cqn, void* buffer, uint32_t entries, uint32_t cqeSize);
  // Interrupt moderation: completion_queue.h.
  int moderateCompletionQueue(uint32_t cqn, uint16_t count, uint16_t period);
  int destroyCompletionQueue(uint32_t cqn);  // EBUSY while a queue completes to it

  int createSharedReceiveQueue(const SharedReceiveQueueAttributes& attributes, uint32_t* srqn);
  int setSharedReceiveQueueLimit(uint32_t srqn, uint32_t limit);
  int sharedReceiveQueueLimit(uint32_t srqn, uint32_t* limit);  // 0 once the event has come
  int destroySharedReceiveQueue(uint32_t srqn);

  int createQueuePair(const QueuePairAttributes& attributes, uint32_t* qpn);
  int createRssQueuePair(const RssQueuePairAttributes& attributes, uint32_t* qpn);
  // Checks the transition, not whether the mask is complete: that table is ib_core's, so the front end's.
  int modifyQueuePair(uint32_t qpn, const QueuePairChange& change);
  int queryQueuePair(uint32_t qpn, QueuePairStatus* status);
  int destroyQueuePair(uint32_t qpn);  // EBUSY while a flow rule leads to it
  int attachMulticast(uint32_t qpn, const Gid& gid);
  int detachMulticast(uint32_t qpn, const Gid& gid);

  int createWorkQueue(const WorkQueueAttributes& attributes, uint32_t* wqn);
  int modifyWorkQueue(uint32_t wqn, WorkQueueState state);
  int setWorkQueueVlanStripping(uint32_t wqn, bool strip);
  int destroyWorkQueue(uint32_t wqn);
  int createIndirectionTable(const std::vector<uint32_t>& wqns, uint32_t* number);  // a power of two of them
  int destroyIndirectionTable(uint32_t number);

  int createFlow(const FlowRule& rule, uint32_t* number);
  int destroyFlow(uint32_t number);

  // The device is gone: deviceFatal, every queue flushed, every later call EIO but the destroys.
  void fail();

  // Does all the work that there is at time `now` (nanoseconds, never going back). Returns whether there was any.
  // `now` is also the timestamp of CQEs, but of queues that have a clock (CompletionQueueAttributes): the core clock
  // counts nanoseconds (hca_core_clock 1 000 000 kHz).
  bool step(uint64_t now);

  // Whether all doorbell records were looked at since the last work: before that, nobody may stop stepping
  // (doorbell_registers.h).
  bool settled();
  // Has the steps to come look at every doorbell record once.
  void stir();

  // Whether a queue rings alone in the register at `bell`, and is judged by it (strict.cc).
  bool judges(const void* bell, size_t size = 1);
  // For who keeps the pages of such registers write-protected (driver/held_stores.h): a writer waits in the fault of
  // its store to `address` (`size` 1, or where only the page is known, its size). What the records say now is what they
  // say when the store is done, and stored() judges it by that.
  BellState atDoor(const void* address, size_t size);
  void stored(const void* address, size_t size);
  // How often the registers there were seen to change.
  uint32_t rings(const void* address, size_t size);

  // When idle: the time of the next timer (retransmission, delayed frame), kNever when there is none.
  uint64_t deadline();
  // When idle: what else to poll, besides the doorbells: the wires' descriptors.
  std::vector<int> descriptors();
  // Whether a wire leads out of this process.
  bool leavesProcess();

 private:
  // Control operations must not starve behind a thread that steps without pause: it gives way when one waits.
  class Control;

  std::mutex mutex_;
  std::atomic<uint32_t> waiting_{0};
  std::unique_ptr<Engine> engine_;
};

}  // namespace soft

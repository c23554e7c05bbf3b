// The ring of a completion queue that JavaScript reads: where it lies, and the doorbell that asks for an event.
#pragma once

#include "bell.h"
#include "mlx5/ring_memory.h"

namespace mlx5 {

class CompletionQueueRing {
 public:
  // The mailbox of the arm bell.
  enum Mailbox : size_t {
    kArm,       // sequence number, command and consumer index, as they lie in the doorbell record (MLX5_CQ_DB_REQ_NOT)
    kRung,      // the bell sets it to 1: it is the queue's as long as that is open
    kEvents,    // how many events of this queue were read from its channel
    kDriven,    // 1: this package's driver reads the ring, and kConsumer is its index
    kConsumer,  // how many entries were taken
    kGone,      // 1: the queue is destroyed
    kMailboxWords
  };

  // `unreadable`: libibverbs cannot poll it, so that it is JavaScript's from the beginning.
  CompletionQueueRing(SharedMemory memory, bool unreadable) : memory(std::move(memory)), unreadable_(unreadable) {}

  // Whether an entry that JavaScript has not taken tells that the send with this counter is done, or that one has
  // failed.
  bool tellsOf(uint16_t wqeCounter) const;

  // mlx5dv_init_obj, from which on libmlx5 leaves the consumer index to its caller: 0 or an errno.
  int take(ibv_cq* queue);
  bool handedOver() const { return unreadable_ || ring_.buf != nullptr; }
  // An event of this queue was read from the channel.
  void eventRead() {
    if (int32_t* mailbox = bell_.mailbox()) mailbox[kEvents]++;
  }
  void tellGone() {
    if (int32_t* mailbox = bell_.mailbox()) mailbox[kGone] = 1;
  }
  // Takes the entries of a queue pair that is reset or destroyed out of a ring that the package's driver reads: libmlx5
  // leaves them in one that mlx5dv handed out (providers/mlx5/cq.c, __mlx5_cq_clean).
  void clean(uint32_t queuePair);
  Napi::Object describe(Napi::Env env) const;
  Napi::Value armBell(Napi::Env env, Napi::Value mailbox) { return bell_.bind(env, *this, mailbox, kMailboxWords); }

  RingMemory memory;

 private:
  mlx5_cqe64* entry(uint32_t index) const;
  // Whether the device has written the entry with this number, or the driver has not taken it yet.
  bool isThere(uint32_t index) const;
  static void arm(CompletionQueueRing& ring, int32_t* mailbox);

  mlx5dv_cq ring_{};
  const bool unreadable_;
  Bell<CompletionQueueRing, arm> bell_;
};

}  // namespace mlx5

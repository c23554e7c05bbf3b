// The ring of a completion queue that JavaScript reads: where it lies, and the doorbell that asks for an event.
#pragma once

#include "bell.h"
#include "mlx5/ring_memory.h"

namespace mlx5 {

class CompletionQueueRing {
 public:
  // What JavaScript writes to the mailbox of the arm bell: sequence number, command and consumer index, as they lie in
  // the doorbell record (mlx5dv.h, MLX5_CQ_DB_REQ_NOT). The bell sets kRung: it is the queue's as long as that is open.
  enum Mailbox : size_t { kArm, kRung, kMailboxWords };

  // `unreadable`: libibverbs cannot poll it, so that it is JavaScript's from the beginning.
  CompletionQueueRing(SharedMemory memory, bool unreadable) : memory(std::move(memory)), unreadable_(unreadable) {}

  // Whether an entry that JavaScript has not taken tells that the send with this counter is done, or that one has
  // failed.
  bool tellsOf(uint16_t wqeCounter) const;

  // mlx5dv_init_obj, from which on libmlx5 leaves the consumer index to its caller: 0 or an errno.
  int take(ibv_cq* queue);
  bool handedOver() const { return unreadable_ || ring_.buf != nullptr; }
  Napi::Object describe(Napi::Env env) const;
  Napi::Value armBell(Napi::Env env, Napi::Value mailbox) { return bell_.bind(env, *this, mailbox, kMailboxWords); }

  RingMemory memory;

 private:
  static void arm(CompletionQueueRing& ring, int32_t* mailbox);

  mlx5dv_cq ring_{};
  const bool unreadable_;
  Bell<CompletionQueueRing, arm> bell_;
};

}  // namespace mlx5

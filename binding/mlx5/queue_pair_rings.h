// The rings of a queue pair that JavaScript drives: where they lie, and the doorbell that tells the device of sends.
#pragma once

#include "bell.h"
#include "mlx5/completion_queue_ring.h"
#include "mlx5/ring_memory.h"

namespace mlx5 {

class QueuePairRings {
 public:
  // The mailbox of the send bell.
  enum Mailbox : size_t {
    kStatus,     // 0: this bell cannot fail
    kProducer,   // the counter of 64-byte blocks behind the last request, modulo 2^16
    kLast,       // the counter of the last request's first block
    kBlueFlame,  // bytes of the last request that go into the register, a multiple of 64; 0: its first 8
    kRung,       // what the bell told the device last, a producer
    kCompleted,  // the counter behind the last request that has completed, for awaitSends(); negative: unknown
    kGone,       // 1: the queue pair is destroyed
    kMailboxWords,
  };

  explicit QueuePairRings(SharedMemory memory) : memory(std::move(memory)) {}

  // mlx5dv_init_obj: 0 or an errno.
  int take(ibv_qp* pair);
  bool taken() const { return rings_.dbrec != nullptr; }
  // The queue pair is destroyed: whoever drives the rings finds it in the mailbox.
  void tellGone() {
    if (int32_t* mailbox = bell_.mailbox()) mailbox[kGone] = 1;
  }
  Napi::Object describe(Napi::Env env) const;
  Napi::Value sendBell(Napi::Env env, Napi::Value mailbox) { return bell_.bind(env, *this, mailbox, kMailboxWords); }

  // Waits until the sends that the device was told of are done, a fifth of a second at most: what JavaScript does not
  // read any more shows in the ring of their completion queue.
  void awaitSends(const CompletionQueueRing& completions) const;

  RingMemory memory;

 private:
  static void ring(QueuePairRings& rings, int32_t* mailbox);
  void ring(uint16_t producer, uint16_t last, uint32_t blueFlame);
  const uint8_t* block(uint32_t counter) const {
    return static_cast<const uint8_t*>(rings_.sq.buf) + size_t{counter & (rings_.sq.wqe_cnt - 1)} * MLX5_SEND_WQE_BB;
  }

  mlx5dv_qp rings_{};
  uint32_t half_ = 0;  // which half of the register is written next
  uint16_t producer_ = 0, last_ = 0;
  Bell<QueuePairRings, ring> bell_;
};

}  // namespace mlx5

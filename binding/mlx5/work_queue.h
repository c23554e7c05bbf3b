// What RSS is made of (ibv_create_wq(3), ibv_create_rwq_ind_table(3), ibv_create_qp_ex(3)): receive queues without a
// queue pair, which JavaScript fills; a table of them; and a queue pair that spreads the frames of its flow rules over
// the table's queues by a hash.
#pragma once

#include "mlx5/ring_memory.h"
#include "verbs/completion_queue.h"
#include "verbs/protection_domain.h"

namespace mlx5 {

class WorkQueue : public Handle {
 public:
  static constexpr Kind kKind = Kind::WorkQueue;

  // `credits`: the most entries of the completion queue that its requests ever take.
  WorkQueue(verbs::ProtectionDomain& domain, verbs::CompletionQueue& queue, uint32_t credits, SharedMemory memory)
      : Handle(kKind, {&domain, &queue}), memory(std::move(memory)), queue_(queue), credits_(credits) {}

  int release(const char** syscall) override;

  // mlx5dv_init_obj: 0 or an errno.
  int take();
  Napi::Object describe(Napi::Env env) const;

  RingMemory memory;
  ibv_wq* ibv = nullptr;

 private:
  verbs::CompletionQueue& queue_;
  const uint32_t credits_;
  mlx5dv_rwq ring_{};
};

class IndirectionTable : public Handle {
 public:
  static constexpr Kind kKind = Kind::IndirectionTable;

  explicit IndirectionTable(std::vector<Handle*> queues) : Handle(kKind, std::move(queues)) {}

  int release(const char** syscall) override;

  ibv_rwq_ind_table* ibv = nullptr;
};

class RssQueuePair : public Handle {
 public:
  static constexpr Kind kKind = Kind::RssQueuePair;

  RssQueuePair(verbs::ProtectionDomain& domain, IndirectionTable& table) : Handle(kKind, {&domain, &table}) {}

  int release(const char** syscall) override;

  ibv_qp* ibv = nullptr;
};

}  // namespace mlx5

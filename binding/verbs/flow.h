#pragma once

#include <vector>

#include "handle_table.h"
#include "verbs/rdma_core.h"

namespace verbs {

// Flow rules of one queue pair (ibv_create_flow(3)), created together and destroyed together.
class Flow : public Handle {
 public:
  static constexpr Kind kKind = Kind::Flow;

  // `pair`: a QueuePair, or an RssQueuePair of mlx5's
  explicit Flow(Handle& pair) : Handle(kKind, {&pair}) {}

  int release(const char** syscall) override;

  std::vector<ibv_flow*> rules;
};

}  // namespace verbs

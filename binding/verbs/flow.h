#pragma once

#include <vector>

#include "verbs/queue_pair.h"

namespace verbs {

// Flow rules of one queue pair that were made together (ibv_create_flow(3)) and go together.
class Flow : public Handle {
 public:
  static constexpr Kind kKind = Kind::Flow;

  explicit Flow(QueuePair& pair) : Handle(kKind, {&pair}), pair(pair) {}

  int release(const char** syscall) override;

  QueuePair& pair;
  std::vector<ibv_flow*> rules;
};

}  // namespace verbs

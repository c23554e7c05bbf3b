#pragma once

#include <vector>

#include "verbs/queue_pair.h"

namespace verbs {

// Flow rules of one queue pair (ibv_create_flow(3)), created together and destroyed together.
class Flow : public Handle {
 public:
  static constexpr Kind kKind = Kind::Flow;

  explicit Flow(QueuePair& pair) : Handle(kKind, {&pair}), pair(pair) {}

  int release(const char** syscall) override;

  QueuePair& pair;
  std::vector<ibv_flow*> rules;
};

}  // namespace verbs

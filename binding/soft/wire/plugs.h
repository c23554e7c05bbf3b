// Which ends of a wire a port is plugged into. Ports come and go on other threads than the one that steps.
#pragma once

#include <atomic>

namespace soft {

class Plugs {
 public:
  void plug(int end) { in_[end].store(true); }
  void pull(int end) { in_[end].store(false); }
  bool in(int end) const { return in_[end].load(std::memory_order_relaxed); }
  bool both() const { return in(0) && in(1); }

 private:
  std::atomic<bool> in_[2] = {};
};

}  // namespace soft

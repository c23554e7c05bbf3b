// The receive ring that a create command describes, checked.
#pragma once

#include <cstdint>

#include "nic/attributes.h"

namespace soft::uverbs {

struct ReceiveRingRequest {
  uint64_t buffer, doorbell;
  uint32_t count, strideShift;
  bool signature;
};

// 0, EINVAL for a shape that no ring has, EFAULT for memory that is not there.
int receiveRing(const ReceiveRingRequest& request, ReceiveRing* ring);

}  // namespace soft::uverbs

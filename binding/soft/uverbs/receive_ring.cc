#include "uverbs/receive_ring.h"

#include <cerrno>

#include "uverbs/limits.h"
#include "uverbs/user_memory.h"

namespace soft::uverbs {

int receiveRing(const ReceiveRingRequest& request, ReceiveRing* ring) {
  const uint32_t count = request.count;
  if (count == 0 || (count & (count - 1)) || count > 2 * limits::kReceiveRequests) return EINVAL;
  if (request.strideShift < 4 || request.strideShift > 16 ||
      (1u << request.strideShift) > 2u * limits::kReceiveDescriptorBytes)
    return EINVAL;
  if ((request.doorbell & 3) || (request.buffer & 15)) return EINVAL;
  if (const int error = populate(request.buffer, uint64_t{count} << request.strideShift, false)) return error;
  if (const int error = populate(request.doorbell, 4, true)) return error;
  ring->buffer = reinterpret_cast<void*>(request.buffer);
  ring->count = count;
  ring->strideShift = request.strideShift;
  ring->doorbell = reinterpret_cast<void*>(request.doorbell);
  ring->signature = request.signature;
  return 0;
}

}  // namespace soft::uverbs

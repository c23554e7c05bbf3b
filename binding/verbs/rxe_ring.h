// SoftRoCE's completion ring, seen from JavaScript: an empty poll is then two loads and no native call.
//
// The ring is memory that the kernel and librxe share, and its layout is kernel ABI (struct rxe_queue_buf,
// rdma/rdma_user_rxe.h): the kernel writes producer_index, ibv_poll_cq writes consumer_index, equal means empty. Only
// lib/verbs/completion-queue.ts reads the ring, and only these two words; completions still come through ibv_poll_cq.
// So it is none of lib/ring's: this end takes nothing out of it, and its indices are places (rxe_queue.h in the
// kernel), not counts that wrap. libibverbs does not expose the ring's address, but ibv_create_cq maps exactly one part
// of the device file.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "verbs/rdma_core.h"

namespace verbs {

// A mapping of a part of a device file. Another thread may unmap one and map the next at the same address, but rxe
// gives each part of a device an offset of its own (rxe_create_mmap_info in drivers/infiniband/sw/rxe/rxe_mmap.c).
struct UverbsMapping {
  uintptr_t start;
  uint64_t offset;
  uint64_t inode;

  bool operator==(const UverbsMapping& other) const {
    return start == other.start && offset == other.offset && inode == other.inode;
  }
};

// The process's mappings of /dev/infiniband/uverbs*, from /proc/self/maps.
std::vector<UverbsMapping> uverbsMappings();

// The head of the ring that appeared since `before`; null unless exactly one appeared, of rxe's shape.
const void* newRxeRing(const std::vector<UverbsMapping>& before, const ibv_cq* queue);

// The head's bytes as an ArrayBuffer; empty where the runtime has no external ones (Electron). Detach it before
// ibv_destroy_cq unmaps the ring.
Napi::ArrayBuffer rxeRingHead(Napi::Env env, const void* ring);

}  // namespace verbs

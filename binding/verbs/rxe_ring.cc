#include "verbs/rxe_ring.h"

#include <rdma/rdma_user_rxe.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace verbs {

// lib/verbs/request/records.ts has these as indices of words.
static_assert(offsetof(rxe_queue_buf, producer_index) == 128 && offsetof(rxe_queue_buf, consumer_index) == 256,
              "struct rxe_queue_buf is kernel ABI");

std::vector<UverbsMapping> uverbsMappings() {
  std::vector<UverbsMapping> mappings;
  FILE* maps = fopen("/proc/self/maps", "re");
  if (!maps) return mappings;
  char line[4352];  // PATH_MAX and the columns before it (proc(5))
  while (fgets(line, sizeof line, maps)) {
    UverbsMapping m;
    if (strstr(line, "/dev/infiniband/uverbs") &&
        sscanf(line, "%" SCNxPTR "-%*s %*s %" SCNx64 " %*s %" SCNu64, &m.start, &m.offset, &m.inode) == 3) {
      mappings.push_back(m);
    }
  }
  fclose(maps);
  return mappings;
}

const void* newRxeRing(const std::vector<UverbsMapping>& before, const ibv_cq* queue) {
  uintptr_t found = 0;
  for (const UverbsMapping& mapping : uverbsMappings()) {
    if (std::find(before.begin(), before.end(), mapping) != before.end()) continue;
    if (found) return nullptr;  // another thread created one meanwhile
    found = mapping.start;
  }
  if (!found) return nullptr;
  const auto* ring = reinterpret_cast<const rxe_queue_buf*>(found);
  const uint64_t places = static_cast<uint64_t>(ring->index_mask) + 1;
  const bool fits = (places & (places - 1)) == 0 && places > static_cast<uint64_t>(queue->cqe) &&
                    ring->log2_elem_size >= 5 && ring->log2_elem_size <= 8;
  return fits && ring->producer_index == 0 && ring->consumer_index == 0 ? ring : nullptr;
}

Napi::ArrayBuffer rxeRingHead(Napi::Env env, const void* ring) {
  napi_value buffer;
  // ibv_destroy_cq unmaps the kernel's memory: a finalizer has nothing to free.
  const napi_status status = napi_create_external_arraybuffer(
      env, const_cast<void*>(ring), offsetof(rxe_queue_buf, data), [](napi_env, void*, void*) {}, nullptr, &buffer);
  return status == napi_ok ? Napi::ArrayBuffer(env, buffer) : Napi::ArrayBuffer();
}

}  // namespace verbs

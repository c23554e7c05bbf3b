// User mode memory registration as far as verbs need it: binding a memory window to a region, and invalidating it
// (MLX5_OPCODE_UMR; libmlx5 set_bind_wr writes the segments).
#include <algorithm>

#include "nic/engine.h"

namespace soft {

namespace {

// Segments behind the control segment: mlx5_wqe_umr_ctrl_seg, mlx5_wqe_mkey_context_seg, and with a bind one klm.
constexpr uint32_t kUmr = 16;
constexpr uint32_t kContext = kUmr + sizeof(mlx5_wqe_umr_ctrl_seg);
constexpr uint32_t kKlm = kContext + sizeof(mlx5_wqe_mkey_context_seg);

uint32_t accessOf(uint8_t flags) {
  uint32_t access = 0;
  if (flags & MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_LOCAL_WRITE) access |= kAccessLocalWrite;
  if (flags & MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_REMOTE_WRITE) access |= kAccessRemoteWrite;
  if (flags & MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_REMOTE_READ) access |= kAccessRemoteRead;
  if (flags & MLX5_WQE_MKEY_CONTEXT_ACCESS_FLAGS_ATOMIC) access |= kAccessRemoteAtomic;
  return access;
}

SendResult bindError() { return SendResult::failed(MLX5_CQE_SYNDROME_MW_BIND_ERR, VendorSyndrome::badWqe); }

}  // namespace

SendResult Engine::configureKey(QueuePair& qp, const SendWqe& wqe) {
  if (wqe.size() < kKlm) return SendResult::badWqe();
  const uint8_t* umr = wqe.bytes + kUmr;
  const uint8_t* context = wqe.bytes + kContext;
  const uint8_t flags = umr[offsetof(mlx5_wqe_umr_ctrl_seg, flags)];
  const uint32_t newKey = load32(context + offsetof(mlx5_wqe_mkey_context_seg, qpn_mkey));
  MemoryKey* window = memory_.findWindow(load32(wqe.immediate()));
  if (window == nullptr || window->pd != qp.pd) return bindError();

  if (context[offsetof(mlx5_wqe_mkey_context_seg, free)] & MLX5_WQE_MKEY_CONTEXT_FREE) {
    if ((flags & MLX5_WQE_UMR_CTRL_FLAG_CHECK_QPN) && window->boundQpn != qp.number) return bindError();
    memory_.unbind(*window);
    // A type 1 window gets a new key with every bind (ibv_bind_mw(3)); an invalidated one keeps it.
    if (window->windowType == WindowType::type1) window->tag = static_cast<uint8_t>(newKey);
    return {};
  }

  if (wqe.size() < kKlm + sizeof(mlx5_wqe_umr_klm_seg)) return SendResult::badWqe();
  if ((flags & MLX5_WQE_UMR_CTRL_FLAG_CHECK_FREE) && window->open) return bindError();
  const uint8_t* klm = wqe.bytes + kKlm;
  const uint32_t regionKey = load32(klm + offsetof(mlx5_wqe_umr_klm_seg, mkey));
  const uint64_t address = load64(klm + offsetof(mlx5_wqe_umr_klm_seg, address));
  const uint64_t length = load64(context + offsetof(mlx5_wqe_mkey_context_seg, len));
  const uint32_t access = accessOf(context[offsetof(mlx5_wqe_mkey_context_seg, access_flags)]);
  const MemoryKey* region = memory_.find(regionKey);
  if (region == nullptr || region->window) return bindError();
  // ibv_bind_mw(3): the region must allow it, and local writes where the window gives remote ones.
  const bool writes = (access & (kAccessRemoteWrite | kAccessRemoteAtomic)) != 0;
  const uint32_t needed = kAccessWindowBind | (writes ? uint32_t{kAccessLocalWrite} : 0);
  uint8_t* base = memory_.translate(regionKey, address, length, qp.pd, needed);
  const uint64_t start = load64(context + offsetof(mlx5_wqe_mkey_context_seg, start_addr));
  if (base == nullptr || length > ~uint64_t{0} - start) return bindError();
  memory_.unbind(*window);
  window->base = base;
  window->iova = start;
  window->length = length;
  window->access = access;
  window->tag = static_cast<uint8_t>(newKey);
  window->boundQpn = window->windowType == WindowType::type2 ? qp.number : 0;
  memory_.bind(*window, regionKey);
  return {};
}

}  // namespace soft

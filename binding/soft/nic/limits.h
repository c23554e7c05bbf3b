// What the control operations check alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace soft {

constexpr uint32_t kMaxWqes = 1u << 15;     // max_send_wqebb, max_recv_wr
constexpr uint32_t kMaxGroups = 1u << 10;   // max_mcast_grp
constexpr uint32_t kMaxGroupMembers = 240;  // max_mcast_qp_attach

// max_tso: payload bytes of a TSO WQE (that a card refuses more is inferred).
constexpr uint32_t kMaxTso = 1u << 16;

// Striding receive queues (drivers/infiniband/hw/mlx5/mlx5_ib.h: MLX5_MIN_SINGLE_STRIDE_LOG_NUM_BYTES and its like, the
// least number of strides as firmware with ext_stride_num_range has it).
constexpr uint8_t kMinLogStrideBytes = 6, kMaxLogStrideBytes = 13;
constexpr uint8_t kMinLogStrides = 3, kMaxLogStrides = 16;
inline bool validStrides(uint32_t logBytes, uint32_t logCount) {
  return logBytes >= kMinLogStrideBytes && logBytes <= kMaxLogStrideBytes && logCount >= kMinLogStrides &&
         logCount <= kMaxLogStrides;
}

inline bool powerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

template <typename T>
void erase(std::vector<T*>& list, const T* entry) {
  list.erase(std::remove(list.begin(), list.end(), entry), list.end());
}

}  // namespace soft

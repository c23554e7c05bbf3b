// What the control operations check alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace soft {

constexpr uint32_t kMaxWqes = 1u << 15;     // max_send_wqebb, max_recv_wr
constexpr uint32_t kMaxGroups = 1u << 10;   // max_mcast_grp
constexpr uint32_t kMaxGroupMembers = 240;  // max_mcast_qp_attach

inline bool powerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

template <typename T>
void erase(std::vector<T*>& list, const T* entry) {
  list.erase(std::remove(list.begin(), list.end(), entry), list.end());
}

}  // namespace soft

// Packet sequence numbers: 24 bits, modulo 2^24. Half of them are ahead of a given one, half behind (IBTA 9.7.2).
#pragma once

#include <cstdint>

namespace soft {
namespace roce {

constexpr uint32_t kPsnMask = 0xffffff;
constexpr uint32_t kPsnHalf = 0x800000;  // as many may be outstanding at most

inline uint32_t psnAdd(uint32_t psn, uint32_t count) { return (psn + count) & kPsnMask; }

// How far `to` is ahead of `from`: negative when it lies behind.
inline int32_t psnDistance(uint32_t from, uint32_t to) { return static_cast<int32_t>((to - from) << 8) >> 8; }

// The packets of a message: at least one, for an empty message is sent too.
inline uint32_t packetsOf(uint64_t length, uint32_t mtu) {
  return length == 0 ? 1 : static_cast<uint32_t>((length + mtu - 1) / mtu);
}

}  // namespace roce
}  // namespace soft

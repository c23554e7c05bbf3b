// Big-endian memory, as the card sees it: WQEs, CQEs, doorbell records and packet headers.
#pragma once

#include <cstdint>
#include <cstring>

#include "nic/guarded.h"

namespace soft {

inline uint16_t load16(const void* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}

inline uint32_t load32(const void* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}

inline uint64_t load64(const void* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap64(value);
}

inline uint32_t load24(const void* from) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  return uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 8 | bytes[2];
}

inline void store16(void* to, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}

inline void store32(void* to, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}

inline void store64(void* to, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}

inline void store24(void* to, uint32_t value) {
  auto* bytes = static_cast<uint8_t*>(to);
  bytes[0] = static_cast<uint8_t>(value >> 16);
  bytes[1] = static_cast<uint8_t>(value >> 8);
  bytes[2] = static_cast<uint8_t>(value);
}

// Asks for the cache line at `address`, before it is needed: a driver on another processor has written it, or will read
// it, and to wait for each in turn is what a frame's time goes into. Nothing faults, wherever the address leads.
// Not the builtin: to gcc a function that does nothing but prefetch has no effect, and its calls are dropped.
inline void prefetch(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 (%0)" : : "r"(address));
#else
  asm volatile("prfm pldl1keep, [%0]" : : "r"(address));
#endif
}
inline void prefetchForWrite(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetchw (%0)" : : "r"(address));
#else
  asm volatile("prfm pstl1keep, [%0]" : : "r"(address));
#endif
}

// A doorbell record: written by the driver after the WQEs that it announces, so reading it acquires them. False when
// its memory is gone.
[[nodiscard]] inline bool loadDoorbell(const void* record, uint32_t* value) {
  const bool there = guardedLoad(record, value);
  *value = __builtin_bswap32(*value);
  return there;
}

}  // namespace soft

#pragma once

#include <cstdint>
#include <ctime>

// clock_gettime(2), CLOCK_MONOTONIC: the clock of process.hrtime().
inline uint64_t monotonicNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

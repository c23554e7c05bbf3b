// The two waits of a reliable connection.
#pragma once

#include <cstdint>

namespace soft {
namespace roce {

// How long a requester waits for an acknowledgement before it sends again: 4.096 µs * 2^timeout, 0 for ever
// (IBTA 9.7.6, "local ACK timeout"). In nanoseconds.
inline uint64_t ackTimeout(uint8_t timeout) { return timeout == 0 ? 0 : uint64_t{4096} << (timeout & 31); }

// How long a requester that was told "receiver not ready" stays silent, by the five bits of the RNR NAK: IBTA 9.7.5,
// table 45, in units of 10 µs. Code 0 is the longest.
inline uint64_t rnrDelay(uint8_t code) {
  constexpr uint32_t kTensOfMicroseconds[32] = {65536, 1,    2,    3,    4,    6,     8,     12,    16,    24,   32,
                                                48,    64,   96,   128,  192,  256,   384,   512,   768,   1024, 1536,
                                                2048,  3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152};
  return uint64_t{kTensOfMicroseconds[code & 31]} * 10000;
}

// "For ever", as a count of RNR retries (ibv_modify_qp(3): rnr_retry).
constexpr uint8_t kRnrRetryForever = 7;

}  // namespace roce
}  // namespace soft

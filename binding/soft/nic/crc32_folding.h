// CRC-32 sixteen bytes at a time, by carry-less multiplication: Intel, "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ Instruction" (2009), its constants for the reflected polynomial of IEEE 802.3.
#pragma once

#include <cstddef>
#include <cstdint>

namespace soft {

constexpr size_t kFoldingMinimum = 64;

// Whether this processor has the instructions; x86-64 alone is asked.
bool crc32FoldingAvailable();

// Continues `crc` over the longest part of `bytes` that is a multiple of 16, and says how long that is. At least
// kFoldingMinimum bytes, and only where it is available.
uint32_t crc32Fold(uint32_t crc, const uint8_t* bytes, size_t length, size_t* done);

}  // namespace soft

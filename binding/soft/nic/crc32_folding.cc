#include "nic/crc32_folding.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace soft {

#if defined(__x86_64__)

namespace {

// x^n modulo the polynomial, for the distances that are folded over: 512 bits, 128 bits, and down to 32.
alignas(16) constexpr uint64_t kFold512[2] = {0x0154442bd4, 0x01c6e41596};
alignas(16) constexpr uint64_t kFold128[2] = {0x01751997d0, 0x00ccaa009e};
alignas(16) constexpr uint64_t kFold64[2] = {0x0163cd6124, 0};
alignas(16) constexpr uint64_t kBarrett[2] = {0x01db710641, 0x01f7011641};  // the polynomial, and 2^64 divided by it

#define FOLDING __attribute__((target("pclmul,sse4.1")))

FOLDING inline __m128i load(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }

// Moves `value` ahead by the distance of `constants`, onto what is there.
FOLDING inline __m128i fold(__m128i value, __m128i constants, __m128i there) {
  const __m128i low = _mm_clmulepi64_si128(value, constants, 0x00);
  const __m128i high = _mm_clmulepi64_si128(value, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), there);
}

}  // namespace

bool crc32FoldingAvailable() {
  static const bool available = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  return available;
}

FOLDING uint32_t crc32Fold(uint32_t crc, const uint8_t* bytes, size_t length, size_t* done) {
  const uint8_t* at = bytes;
  __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128(static_cast<int>(crc)));
  __m128i b = load(at + 16), c = load(at + 32), d = load(at + 48);
  at += 64;
  length -= 64;
  const __m128i four = load(kFold512);
  for (; length >= 64; at += 64, length -= 64) {
    a = fold(a, four, load(at));
    b = fold(b, four, load(at + 16));
    c = fold(c, four, load(at + 32));
    d = fold(d, four, load(at + 48));
  }
  const __m128i one = load(kFold128);
  a = fold(a, one, b);
  a = fold(a, one, c);
  a = fold(a, one, d);
  for (; length >= 16; at += 16, length -= 16) a = fold(a, one, load(at));
  *done = static_cast<size_t>(at - bytes);

  // 128 bits to 64, to 32, and the remainder (Barrett).
  const __m128i words = _mm_setr_epi32(-1, 0, -1, 0);
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, one, 0x10));
  const __m128i rest = _mm_srli_si128(a, 4);
  a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, words), load(kFold64), 0x00), rest);
  const __m128i barrett = load(kBarrett);
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, words), barrett, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, words), barrett, 0x00);
  return static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(a, quotient), 1));
}

#else

bool crc32FoldingAvailable() { return false; }
uint32_t crc32Fold(uint32_t crc, const uint8_t*, size_t, size_t* done) {
  *done = 0;
  return crc;
}

#endif

}  // namespace soft

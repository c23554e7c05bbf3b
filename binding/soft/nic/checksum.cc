#include "nic/checksum.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include "nic/bytes.h"

namespace soft {

namespace {

constexpr uint16_t swapped(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

template <size_t count>
uint64_t wordSum(const uint8_t* bytes) {
  uint32_t words[count];
  std::memcpy(words, bytes, sizeof words);
  uint64_t sum = 0;
  for (const uint32_t word : words) sum += word;
  return sum;
}

// RFC 768, RFC 9293 3.1, RFC 8200 8.1.
uint64_t pseudoHeader(const uint8_t* frame, const Layers& layers, uint32_t length) {
  const uint8_t* ip = frame + layers.l3;
  const uint64_t sum = layers.ipVersion == 4 ? wordSum<2>(ip + 12) : wordSum<8>(ip + 8);
  return sum + swapped(layers.protocol) + swapped(static_cast<uint16_t>(length)) +
         swapped(static_cast<uint16_t>(length >> 16));
}

// Of an IPv4 header.
uint64_t headerSum(const uint8_t* ip, uint32_t length) {
  return length == 20 ? wordSum<5>(ip) : checksumAdd(ip, length);
}

bool hasL4(const Layers& layers) {
  if (layers.fragment || layers.truncated || layers.l4 == 0) return false;
  if (layers.protocol == kProtocolTcp) return layers.end - layers.l4 >= 20;
  return layers.protocol == kProtocolUdp && layers.end - layers.l4 >= 8;
}

constexpr size_t kBlock = 64;

// Whole blocks, each word of 16 bits for itself, pairs of them added into 32 bits: sums of what a frame has at most
// (FrameQueue::kMaxFrame) do not overflow. x86 adds pairs of signed words alone (pmaddwd): so 0x8000 is taken from
// each, and given back to the sum.
constexpr uint64_t kBias = kBlock / 2 * 0x8000;

#if defined(__x86_64__)
// Of `count` blocks.
template <size_t kLanes>
uint64_t unbiased(const int32_t (&lanes)[kLanes], size_t count) {
  int64_t total = 0;
  for (const int32_t lane : lanes) total += lane;
  return static_cast<uint64_t>(total) + count * kBias;
}

const bool kWide = __builtin_cpu_supports("avx2");

__attribute__((target("avx2"))) uint64_t addBlocksWide(const uint8_t* bytes, size_t count) {
  const __m256i bias = _mm256_set1_epi16(static_cast<int16_t>(0x8000)), ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256(), beside = _mm256_setzero_si256();
  for (const uint8_t* end = bytes + count * kBlock; bytes != end; bytes += kBlock) {
    const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i two = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_xor_si256(one, bias), ones));
    beside = _mm256_add_epi32(beside, _mm256_madd_epi16(_mm256_xor_si256(two, bias), ones));
  }
  int32_t lanes[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi32(sum, beside));
  return unbiased(lanes, count);
}

uint64_t addBlocks(const uint8_t* bytes, size_t count) {
  if (kWide) return addBlocksWide(bytes, count);
  const __m128i bias = _mm_set1_epi16(static_cast<int16_t>(0x8000)), ones = _mm_set1_epi16(1);
  __m128i sum = _mm_setzero_si128(), beside = _mm_setzero_si128();
  for (const uint8_t* end = bytes + count * kBlock; bytes != end; bytes += kBlock / 2) {
    const __m128i one = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i two = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_xor_si128(one, bias), ones));
    beside = _mm_add_epi32(beside, _mm_madd_epi16(_mm_xor_si128(two, bias), ones));
  }
  int32_t lanes[4];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), _mm_add_epi32(sum, beside));
  return unbiased(lanes, count);
}
#else
uint64_t addBlocks(const uint8_t* bytes, size_t count) {
  uint32x4_t sum = vdupq_n_u32(0), beside = vdupq_n_u32(0);
  for (const uint8_t* end = bytes + count * kBlock; bytes != end; bytes += kBlock / 2) {
    sum = vpadalq_u16(sum, vreinterpretq_u16_u8(vld1q_u8(bytes)));
    beside = vpadalq_u16(beside, vreinterpretq_u16_u8(vld1q_u8(bytes + 16)));
  }
  return vaddlvq_u32(sum) + vaddlvq_u32(beside);
}
#endif

// The sum without a field of 16 bits that it went over: ones' complement subtracts by adding the complement. The field
// need not be zeroed before: what was just stored in part could not be loaded whole until it is in the cache.
uint64_t without(const uint8_t* field) {
  uint16_t value;
  std::memcpy(&value, field, 2);
  return static_cast<uint16_t>(~value);
}

}  // namespace

uint64_t checksumAdd(const uint8_t* bytes, size_t length, uint64_t sum) {
  // 64 bits at a time, with the carry round the end (RFC 1071, section 2(C)).
  uint64_t wide = 0;
  const auto add = [&wide](uint64_t word) {
    wide += word;
    if (wide < word) ++wide;
  };
  const auto addPart = [&](auto part) {
    std::memcpy(&part, bytes, sizeof part);
    add(part);
    bytes += sizeof part;
    length -= sizeof part;
  };
  // The blocks at multiples of 32, as a copy has stored them: no load straddles two cache lines or two stores that are
  // under way. Up to there words of 16 bits must be whole ones.
  const size_t head = -reinterpret_cast<uintptr_t>(bytes) & 31;
  if (length >= 3 * kBlock && head % 2 == 0) {
    if (head & 2) addPart(uint16_t{});
    if (head & 4) addPart(uint32_t{});
    if (head & 8) addPart(uint64_t{});
    if (head & 16) {
      addPart(uint64_t{});
      addPart(uint64_t{});
    }
  }
  if (length >= 2 * kBlock) {
    add(addBlocks(bytes, length / kBlock));
    bytes += length / kBlock * kBlock;
    length %= kBlock;
  }
  while (length >= 32) {
    for (int i = 0; i < 4; ++i) addPart(uint64_t{});
  }
  while (length >= 8) addPart(uint64_t{});
  if (length & 4) addPart(uint32_t{});
  if (length & 2) addPart(uint16_t{});
  if (length & 1) addPart(uint8_t{});  // padded with a zero behind it (RFC 1071)
  return sum + (wide & 0xffffffff) + (wide >> 32);
}

void writeChecksums(uint8_t* frame, const Layers& layers, bool l3, bool l4) {
  if (l3 && layers.ipVersion == 4) {
    uint8_t* ip = frame + layers.l3;
    const uint16_t sum = static_cast<uint16_t>(~checksumFold(headerSum(ip, layers.l3Length) + without(ip + 10)));
    std::memcpy(ip + 10, &sum, 2);
  }
  if (!l4 || !hasL4(layers)) return;
  const uint32_t length = layers.end - layers.l4;
  uint8_t* field = frame + layers.l4 + (layers.protocol == kProtocolTcp ? 16 : 6);
  uint16_t sum = static_cast<uint16_t>(
      ~checksumFold(pseudoHeader(frame, layers, length) + checksumAdd(frame + layers.l4, length, without(field))));
  if (sum == 0 && layers.protocol == kProtocolUdp) sum = 0xffff;  // 0 means "none" (RFC 768)
  std::memcpy(field, &sum, 2);
}

ChecksumStatus checkChecksums(const uint8_t* frame, const Layers& layers) {
  ChecksumStatus status;
  if (layers.ipVersion == 0 || layers.truncated) return status;
  status.l3Ok = layers.ipVersion == 6 || checksumFold(headerSum(frame + layers.l3, layers.l3Length)) == 0xffff;
  if (!hasL4(layers)) return status;
  const uint32_t length = layers.end - layers.l4;
  if (layers.protocol == kProtocolUdp && layers.ipVersion == 4 && load16(frame + layers.l4 + 6) == 0) {
    status.l4Ok = true;
    return status;
  }
  status.l4Ok = checksumFold(pseudoHeader(frame, layers, length) + checksumAdd(frame + layers.l4, length)) == 0xffff;
  return status;
}

}  // namespace soft

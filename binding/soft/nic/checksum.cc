#include "nic/checksum.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
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

#if defined(__x86_64__)
const bool kWide = __builtin_cpu_supports("avx2");

// Whole blocks, 32 bits at a time into 64, eight sums side by side.
__attribute__((target("avx2"))) uint64_t addBlocks(const uint8_t* bytes, size_t count) {
  const __m256i lower = _mm256_set1_epi64x(0xffffffff);
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (; count != 0; --count, bytes += kBlock) {
    const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i two = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32));
    sums[0] = _mm256_add_epi64(sums[0], _mm256_and_si256(one, lower));
    sums[1] = _mm256_add_epi64(sums[1], _mm256_srli_epi64(one, 32));
    sums[2] = _mm256_add_epi64(sums[2], _mm256_and_si256(two, lower));
    sums[3] = _mm256_add_epi64(sums[3], _mm256_srli_epi64(two, 32));
  }
  uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes),
                      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3])));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
#else
constexpr bool kWide = false;
uint64_t addBlocks(const uint8_t*, size_t) { return 0; }
#endif

}  // namespace

uint64_t checksumAdd(const uint8_t* bytes, size_t length, uint64_t sum) {
  // 32 bits at a time into 64: no carry can be lost below 2^34 bytes, and two sums do not wait for each other.
  uint64_t wide = 0, beside = 0;
  if (kWide && length >= 2 * kBlock) {
    wide = addBlocks(bytes, length / kBlock);
    bytes += length / kBlock * kBlock;
    length %= kBlock;
  }
  const auto add = [&wide](uint64_t word) { wide += word; };
  for (; length >= 32; bytes += 32, length -= 32) {
    uint32_t words[8];
    std::memcpy(words, bytes, 32);
    for (int i = 0; i < 8; i += 2) {
      wide += words[i];
      beside += words[i + 1];
    }
  }
  for (; length >= 8; bytes += 8, length -= 8) {
    uint32_t words[2];
    std::memcpy(words, bytes, 8);
    wide += words[0];
    beside += words[1];
  }
  if (length & 4) {
    uint32_t word;
    std::memcpy(&word, bytes, 4);
    add(word);
    bytes += 4;
  }
  if (length & 2) {
    uint16_t word;
    std::memcpy(&word, bytes, 2);
    add(word);
    bytes += 2;
  }
  if (length & 1) {
    uint16_t word = 0;
    std::memcpy(&word, bytes, 1);  // padded with a zero behind it (RFC 1071)
    add(word);
  }
  wide += beside;
  return sum + (wide & 0xffffffff) + (wide >> 32);
}

void writeChecksums(uint8_t* frame, const Layers& layers, bool l3, bool l4) {
  if (l3 && layers.ipVersion == 4) {
    uint8_t* ip = frame + layers.l3;
    std::memset(ip + 10, 0, 2);
    const uint16_t sum = static_cast<uint16_t>(~checksumFold(headerSum(ip, layers.l3Length)));
    std::memcpy(ip + 10, &sum, 2);
  }
  if (!l4 || !hasL4(layers)) return;
  const uint32_t length = layers.end - layers.l4;
  uint8_t* field = frame + layers.l4 + (layers.protocol == kProtocolTcp ? 16 : 6);
  std::memset(field, 0, 2);
  uint16_t sum = static_cast<uint16_t>(
      ~checksumFold(pseudoHeader(frame, layers, length) + checksumAdd(frame + layers.l4, length)));
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

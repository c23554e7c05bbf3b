// The Internet checksum (RFC 1071), computed on transmit and checked on receive. Sums are kept in memory order: ones'
// complement addition does not care which byte comes first (RFC 1071, section 2(B)).
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/packet.h"

namespace soft {

uint64_t checksumAdd(const uint8_t* bytes, size_t length, uint64_t sum = 0);

// Adds a half to the other and the carry to that: the upper half of the sum with both in each other's place (the
// kernel's csum_fold).
inline uint16_t checksumFold(uint64_t sum) {
  sum += sum << 32 | sum >> 32;
  auto half = static_cast<uint32_t>(sum >> 32);
  half += half << 16 | half >> 16;
  return static_cast<uint16_t>(half >> 16);
}

// Writes the IPv4 header checksum (l3) and the TCP or UDP checksum (l4) of the packet that `layers` describes.
void writeChecksums(uint8_t* frame, const Layers& layers, bool l3, bool l4);

struct ChecksumStatus {
  bool l3Ok = false;  // IPv4: the header's sum is right; IPv6: has none
  bool l4Ok = false;  // TCP or UDP, whole and right; a UDP checksum of 0 over IPv4 counts as right (RFC 768)
};
ChecksumStatus checkChecksums(const uint8_t* frame, const Layers& layers);

}  // namespace soft

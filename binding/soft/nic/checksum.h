// The Internet checksum (RFC 1071), computed on transmit and checked on receive. Sums are kept in memory order: ones'
// complement addition does not care which byte comes first (RFC 1071, section 2(B)).
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/packet.h"

namespace soft {

uint64_t checksumAdd(const uint8_t* bytes, size_t length, uint64_t sum = 0);

inline uint16_t checksumFold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Writes the IPv4 header checksum (l3) and the TCP or UDP checksum (l4) of the packet that `layers` describes.
void writeChecksums(uint8_t* frame, const Layers& layers, bool l3, bool l4);

struct ChecksumStatus {
  bool l3Ok = false;  // IPv4: the header's sum is right; IPv6: has none
  bool l4Ok = false;  // TCP or UDP, whole and right; a UDP checksum of 0 over IPv4 counts as right (RFC 768)
};
ChecksumStatus checkChecksums(const uint8_t* frame, const Layers& layers);

}  // namespace soft

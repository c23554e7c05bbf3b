// Frames for the tests, written out by hand: no code here is the engine's.
#pragma once

#include "card.h"

inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline Bytes be16(uint32_t value) { return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)}; }
inline Bytes be32(uint32_t value) { return be16(value >> 16) + be16(value & 0xffff); }

inline Bytes pattern(size_t length, uint8_t seed = 1) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(seed + i * 7);
  return bytes;
}

inline Bytes ethernet(uint16_t type, const Bytes& payload, const Bytes& destination = {2, 0, 0, 0, 0, 1}) {
  return destination + Bytes{2, 0, 0, 0, 0, 9} + be16(type) + payload;
}
inline Bytes tagged(uint16_t tci, uint16_t type, const Bytes& payload, const Bytes& destination = {2, 0, 0, 0, 0, 1}) {
  return ethernet(0x8100, be16(tci) + be16(type) + payload, destination);
}

// RFC 1071, the slow way.
inline uint16_t slowSum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += static_cast<uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// Two addresses, 10.0.0.1 and 10.0.0.2.
inline const Bytes kFrom{10, 0, 0, 1}, kTo{10, 0, 0, 2};

inline Bytes udp(uint16_t from, uint16_t to, const Bytes& payload, uint16_t checksum = 0) {
  return be16(from) + be16(to) + be16(static_cast<uint32_t>(8 + payload.size())) + be16(checksum) + payload;
}
inline Bytes tcp(uint16_t from, uint16_t to, uint32_t sequence, uint8_t flags, const Bytes& payload,
                 uint16_t checksum = 0) {
  return be16(from) + be16(to) + be32(sequence) + be32(0x01020304) + Bytes{0x50, flags} + be16(1000) + be16(checksum) +
         be16(0) + payload;
}
inline Bytes ipv4(uint8_t protocol, const Bytes& payload, const Bytes& from = {10, 0, 0, 1},
                  const Bytes& to = {10, 0, 0, 2}, bool checksum = false) {
  Bytes header = Bytes{0x45, 0} + be16(static_cast<uint32_t>(20 + payload.size())) + be16(0x1234) + be16(0x4000) +
                 Bytes{64, protocol} + be16(0) + from + to;
  if (checksum) soft::store16(&header[10], slowSum(header));
  return header + payload;
}
inline Bytes ipv6(uint8_t next, const Bytes& payload, const Bytes& from = Bytes(16, 0x20),
                  const Bytes& to = Bytes(16, 0x30)) {
  return Bytes{0x60, 0, 0, 0} + be16(static_cast<uint32_t>(payload.size())) + Bytes{next, 64} + from + to + payload;
}
// The expected L4 checksum.
inline uint16_t l4Sum(uint8_t protocol, const Bytes& from, const Bytes& to, const Bytes& segment) {
  const uint16_t sum = slowSum(from + to + be16(protocol) + be16(static_cast<uint32_t>(segment.size())) + segment);
  return sum == 0 && protocol == 17 ? 0xffff : sum;
}

#include "nic/icrc.h"

#include <array>
#include <cstring>

#include "nic/crc32_folding.h"

namespace soft {

namespace {

constexpr uint32_t kPolynomial = 0xedb88320;  // 0x04c11db7, reflected

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables makeTables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kPolynomial : 0);
    tables[0][i] = value;
  }
  for (size_t t = 1; t < 8; ++t) {
    for (uint32_t i = 0; i < 256; ++i) tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
  }
  return tables;
}

constexpr Tables kTables = makeTables();

}  // namespace

uint32_t crc32Update(uint32_t crc, const uint8_t* bytes, size_t length) {
  if (length >= kFoldingMinimum && crc32FoldingAvailable()) {
    size_t done;
    crc = crc32Fold(crc, bytes, length, &done);
    bytes += done;
    length -= done;
  }
  for (; length >= 8; bytes += 8, length -= 8) {  // slicing by 8
    uint32_t low, high;
    std::memcpy(&low, bytes, 4);
    std::memcpy(&high, bytes + 4, 4);
    low ^= crc;
    crc = kTables[7][low & 255] ^ kTables[6][low >> 8 & 255] ^ kTables[5][low >> 16 & 255] ^ kTables[4][low >> 24] ^
          kTables[3][high & 255] ^ kTables[2][high >> 8 & 255] ^ kTables[1][high >> 16 & 255] ^ kTables[0][high >> 24];
  }
  for (; length != 0; ++bytes, --length) crc = crc >> 8 ^ kTables[0][(crc ^ *bytes) & 255];
  return crc;
}

uint32_t crc32(const uint8_t* bytes, size_t length) { return ~crc32Update(~0u, bytes, length); }

uint32_t invariantCrc(const uint8_t* frame, const Layers& layers, size_t end) {
  // 8 bytes of ones for the link header that RoCE does not have, the IP and UDP headers masked, the BTH's resv8a
  // masked.
  uint8_t head[8 + 40 + 8 + 12];
  const size_t ipLength = layers.ipVersion == 4 ? 20 : 40;
  std::memset(head, 0xff, 8);
  uint8_t* ip = head + 8;
  std::memcpy(ip, frame + layers.l3, ipLength);
  if (layers.ipVersion == 4) {
    ip[1] = 0xff;                   // type of service
    ip[8] = 0xff;                   // time to live
    std::memset(ip + 10, 0xff, 2);  // header checksum
  } else {
    ip[0] |= 0x0f;  // traffic class and flow label
    std::memset(ip + 1, 0xff, 3);
    ip[7] = 0xff;  // hop limit
  }
  uint8_t* udp = ip + ipLength;
  std::memcpy(udp, frame + layers.l4, 8 + 12);
  std::memset(udp + 6, 0xff, 2);  // UDP checksum
  udp[8 + 4] = 0xff;              // BTH: FECN, BECN, reserved
  const uint32_t crc = crc32Update(~0u, head, 8 + ipLength + 8 + 12);
  const size_t at = layers.l4 + 8 + 12;
  return ~crc32Update(crc, frame + at, end - at);
}

}  // namespace soft

// The invariant CRC against a packet of a real card: the congestion notification of a ConnectX-4 Lx that scapy keeps in
// test/contrib/roce.uts, as captured (https://github.com/secdev/scapy).
#include "nic/icrc.h"

#include "peers.h"

using namespace soft;

TEST(the_icrc_is_the_one_that_a_connectx_computes) {
  const Bytes frame{0xe4, 0x1d, 0x2d, 0xab, 0x2b, 0xc2, 0x7c, 0xfe, 0x90, 0x64, 0x3b, 0x32, 0x08, 0x00, 0x45,
                    0xc2, 0x00, 0x3c, 0x71, 0x8c, 0x40, 0x00, 0x40, 0x11, 0x91, 0x61, 0x0a, 0x00, 0x11, 0x01,
                    0x0a, 0x00, 0x12, 0x01, 0x00, 0x00, 0x12, 0xb7, 0x00, 0x28, 0x00, 0x00, 0x81, 0x00, 0xff,
                    0xff, 0x40, 0x00, 0x01, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x82, 0xfd, 0x00, 0x2a};
  Layers layers;
  parseLayers(frame.data(), frame.size(), 0, &layers);
  const uint32_t icrc = invariantCrc(frame.data(), layers, frame.size() - 4);
  BYTES(reinterpret_cast<const uint8_t*>(&icrc), &frame[frame.size() - 4], 4);
}

// Byte by byte and bit by bit, as the polynomial is defined.
static uint32_t slowCrc(const Bytes& bytes, size_t from, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = from; i < from + length; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

TEST(the_crc_of_any_length_and_alignment_is_the_slow_one) {
  const Bytes bytes = pattern(5000, 3);
  const Bytes check{'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EQUAL(crc32(check.data(), check.size()), 0xcbf43926u);
  for (size_t length = 0; length < 300; ++length)
    EQUAL(crc32(&bytes[length % 17], length), slowCrc(bytes, length % 17, length));
  for (const size_t length : {1023, 1024, 1500, 4096, 4100}) EQUAL(crc32(&bytes[5], length), slowCrc(bytes, 5, length));
}

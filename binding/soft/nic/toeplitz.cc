#include "nic/toeplitz.h"

#include <rdma/mlx5-abi.h>

#include <cstring>

namespace soft {

Toeplitz::Toeplitz(const uint8_t* key) : table_(new uint32_t[kMaxInput * 256]) {
  // Bit i of the input, from the most significant of byte 0, contributes the 32 bits of the key that begin at bit i.
  const auto window = [key](size_t bit) {
    uint64_t bits = 0;
    for (size_t i = 0; i < 5; ++i) bits = bits << 8 | (bit / 8 + i < kKeyBytes ? key[bit / 8 + i] : 0);
    return static_cast<uint32_t>(bits >> (8 - bit % 8));
  };
  for (size_t position = 0; position < kMaxInput; ++position) {
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t sum = 0;
      for (size_t bit = 0; bit < 8; ++bit) {
        if (value & 0x80u >> bit) sum ^= window(position * 8 + bit);
      }
      table_[position * 256 + value] = sum;
    }
  }
}

PacketHash hashPacket(const Toeplitz& toeplitz, uint64_t fields, const uint8_t* frame, const Layers& layers) {
  PacketHash hash;
  uint8_t input[Toeplitz::kMaxInput];
  size_t length = 0;
  const auto take = [&](bool wanted, const uint8_t* from, size_t size) {
    if (!wanted) return false;
    std::memcpy(input + length, from, size);
    length += size;
    return true;
  };
  const uint8_t* ip = frame + layers.l3;
  // rss_hash_type: bits 1..0 source address, 3..2 destination address (1 IPv4, 2 IPv6), 5..4 and 7..6 the ports (1 TCP,
  // 2 UDP); kernel: CQE_RSS_HTYPE_IP, CQE_RSS_HTYPE_L4.
  if (layers.ipVersion == 4) {
    if (take(fields & MLX5_RX_HASH_SRC_IPV4, ip + 12, 4)) hash.type |= 1;
    if (take(fields & MLX5_RX_HASH_DST_IPV4, ip + 16, 4)) hash.type |= 1 << 2;
  } else if (layers.ipVersion == 6) {
    if (take(fields & MLX5_RX_HASH_SRC_IPV6, ip + 8, 16)) hash.type |= 2;
    if (take(fields & MLX5_RX_HASH_DST_IPV6, ip + 24, 16)) hash.type |= 2 << 2;
  }
  if (layers.l4 != 0 && !layers.fragment && layers.end >= layers.l4 + 8) {
    const uint8_t* l4 = frame + layers.l4;
    if (layers.protocol == kProtocolTcp) {
      if (take(fields & MLX5_RX_HASH_SRC_PORT_TCP, l4, 2)) hash.type |= 1 << 4;
      if (take(fields & MLX5_RX_HASH_DST_PORT_TCP, l4 + 2, 2)) hash.type |= 1 << 6;
    } else if (layers.protocol == kProtocolUdp) {
      if (take(fields & MLX5_RX_HASH_SRC_PORT_UDP, l4, 2)) hash.type |= 2 << 4;
      if (take(fields & MLX5_RX_HASH_DST_PORT_UDP, l4 + 2, 2)) hash.type |= 2 << 6;
    }
  }
  if (hash.type != 0) hash.value = toeplitz.hash(input, length);
  return hash;
}

}  // namespace soft

// Toeplitz hashing of addresses and ports, as receive side scaling uses it (Microsoft, "RSS hashing functions").
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "nic/packet.h"

namespace soft {

class Toeplitz {
 public:
  static constexpr size_t kKeyBytes = 40;
  static constexpr size_t kMaxInput = 36;  // two IPv6 addresses and two ports

  // `key` has kKeyBytes bytes.
  explicit Toeplitz(const uint8_t* key);

  uint32_t hash(const uint8_t* input, size_t length) const {
    uint32_t result = 0;
    for (size_t i = 0; i < length; ++i) result ^= table_[i * 256 + input[i]];
    return result;
  }

 private:
  std::unique_ptr<uint32_t[]> table_;  // what each value of each input byte contributes
};

struct PacketHash {
  uint32_t value = 0;
  uint8_t type = 0;  // the CQE's rss_hash_type; 0: nothing of the packet was hashed
};

// Hashes the fields that `fields` (MLX5_RX_HASH_* of mlx5-abi.h) names and the packet has.
PacketHash hashPacket(const Toeplitz& toeplitz, uint64_t fields, const uint8_t* frame, const Layers& layers);

}  // namespace soft

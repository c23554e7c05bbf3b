// Compressed completions: of entries that are alike the ring gets one in full, the title, and of each what makes it
// different, eight bytes in a mini array (mlx5_mini_cqe8). A session of n entries takes n entries of the ring. The
// title is the first of them, with the number of entries for its byte count; a mini array takes an entry's 64 bytes,
// the first one that behind the title, the others each eighth counted from the title; those between are left as they
// are. Kernel: drivers/net/ethernet/mellanox/mlx5/core/en_rx.c, mlx5e_decompress_cqes_start and _cont; DPDK: mlx5_rx.c,
// mlx5_rx_poll_len. Before it takes the next entry a reader makes all of a session's invalid, since what lies in the
// last byte of a mini array or of an entry that was left out says nothing of its owner.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "nic/attributes.h"
#include "nic/cqe.h"

namespace soft {

// A session that is being collected. How long a card waits for a next entry is not told; here a step's end, an entry
// that does not fit, or the end of the ring ends it.
class CompressionSession {
 public:
  static constexpr uint32_t kMost = 64;  // cqe_compression_max_num
  static constexpr uint32_t kArray = 8;  // kernel: MLX5_MINI_CQE_ARRAY_SIZE

  // For a ring of so many entries.
  CompressionSession(CqeCompression format, uint32_t entries) : format_(format), most_(std::min(kMost, entries)) {}

  bool carriesChecksum() const { return format_ != CqeCompression::hash; }
  uint32_t count() const { return count_; }
  bool accepts(const Cqe& cqe) const {
    return count_ == 0 ? cqe.compressible() : count_ != most_ && last_.precedes(cqe);
  }
  void add(const Cqe& cqe) {
    if (count_ == 0) first_ = cqe;
    last_ = cqe;
    minis_[count_++] = mini(cqe);
  }
  // Writes the session to the ring. entry(i) is where its i-th entry lies, `owner` the title's. False when the ring's
  // memory is gone.
  template <typename Entry>
  [[nodiscard]] bool write(Entry entry, uint8_t owner) {
    const uint32_t count = count_;
    count_ = 0;
    if (count == 1) return first_.hand(entry(0), owner);  // a title alone has no entry behind it for its mini array
    for (uint32_t i = 0; i < count; i += kArray) {
      for (uint32_t unused = count; unused < i + kArray; ++unused) minis_[unused] = 0;
      if (!guardedCopy64(entry(i == 0 ? 1 : i), &minis_[i])) return false;
    }
    first_.makeTitle(count);
    return first_.hand(entry(0), owner);
  }

 private:
  uint64_t mini(const Cqe& cqe) const {
    switch (format_) {
      case CqeCompression::checksum: return cqe.miniWithChecksum();
      case CqeCompression::checksumStride: return cqe.miniWithChecksumAndStride();
      default: return cqe.miniWithHash();
    }
  }

  const CqeCompression format_;
  const uint32_t most_;
  uint32_t count_ = 0;
  Cqe first_{0, false, 0, 0, 0}, last_{0, false, 0, 0, 0};
  alignas(64) std::array<uint64_t, kMost> minis_{};
};

}  // namespace soft

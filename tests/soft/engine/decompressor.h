// Reads a completion queue whose entries may be compressed, as the kernel's mlx5e and DPDK's PMD do (en_rx.c,
// mlx5e_decompress_cqes_start and _cont; mlx5_rx.c, mlx5_rx_poll_len): what comes out are entries in full.
#pragma once

#include "work_queue.h"

class Decompressor {
 public:
  // What a reader leaves in the entries of a session that it has taken: the kernel writes the lap's owner bit
  // (mlx5e_cqes_update_owner), DPDK an invalid opcode (MLX5_CQE_INVALIDATE).
  enum class Invalidates { asKernel, asDpdk };

  Decompressor(uint8_t* ring, uint32_t entries, uint32_t size, uint32_t* doorbell, soft::CqeCompression format,
               Invalidates how)
      : ring_(ring), entries_(entries), size_(size), doorbell_(doorbell), format_(format), how_(how) {}
  Decompressor(Cq& cq, soft::CqeCompression format, Invalidates how = Invalidates::asKernel)
      : Decompressor(cq.ring.data(), cq.entries, cq.size, cq.doorbell, format, how) {}

  // The next entry; empty when there is none.
  Bytes poll() {
    if (left_ == 0) {
      const uint8_t own = __atomic_load_n(&ring_[at(index) + 63], __ATOMIC_ACQUIRE);
      if (own >> 4 == MLX5_CQE_INVALID || (own & 1) != lap(index)) return {};
      const Bytes entry = read(index);
      if ((entry[63] & 0xc) != 0xc) {
        advance(1);
        return entry;
      }
      title_ = entry;
      first_ = index;
      count_ = left_ = byteCount(entry.data());
      CHECK(count_ >= 2 && count_ <= 64 && count_ <= entries_);
      sessions.push_back(count_);
      counter_ = wqeCounter(entry.data());
      minis_ = read(first_ + 1);
    }
    const uint32_t position = count_ - left_;
    if (position != 0 && position % 8 == 0) minis_ = read(first_ + position);
    const uint8_t* mini = &minis_[position % 8 * 8];
    Bytes entry = title_;
    entry[63] = static_cast<uint8_t>((entry[63] & 0xf0) | lap(first_ + position));
    std::copy(mini + 4, mini + 8, entry.begin() + 44);
    soft::store16(&entry[60], counter_);
    if (format_ == soft::CqeCompression::hash) {
      std::copy(mini, mini + 4, entry.begin() + 12);
    } else {
      if (position != 0) std::fill_n(entry.begin() + 12, 5, 0);  // kernel: mlx5e_decompress_cqe_no_hash
      std::copy(mini, mini + 2, entry.begin() + 20);
      const bool stride = format_ == soft::CqeCompression::checksumStride;
      EQUAL(soft::load16(mini + 2), stride ? counter_ : 0);
    }
    const uint16_t strides = soft::load16(&entry[44]) & 0x3fff;
    counter_ = static_cast<uint16_t>(counter_ + (strides == 0 ? 1 : strides));
    if (--left_ == 0) {
      for (uint32_t i = 0; i < count_; ++i) {
        ring_[at(first_ + i) + 63] = how_ == Invalidates::asKernel ? lap(first_ + i) : MLX5_CQE_INVALID << 4;
      }
      advance(count_);
    }
    return entry;
  }

  std::vector<uint32_t> sessions;  // how many entries each had
  uint32_t index = 0;              // the consumer's: it moves on at the end of a session, as DPDK's does

 private:
  size_t at(uint32_t which) const { return (which & (entries_ - 1)) * size_ + size_ - 64; }
  uint8_t lap(uint32_t which) const { return (which & entries_) != 0 ? 1 : 0; }
  Bytes read(uint32_t which) const { return Bytes(&ring_[at(which)], &ring_[at(which)] + 64); }
  void advance(uint32_t count) {
    index += count;
    __atomic_store_n(doorbell_, __builtin_bswap32(index & 0xffffff), __ATOMIC_RELEASE);
  }

  uint8_t* const ring_;
  const uint32_t entries_, size_;
  uint32_t* const doorbell_;
  const soft::CqeCompression format_;
  const Invalidates how_;
  Bytes title_, minis_;
  uint32_t first_ = 0, count_ = 0, left_ = 0;
  uint16_t counter_ = 0;
};

// Receive queues: rings of scatter lists that say where the next message may go. A ring of its own goes round in order
// (mlx5_post_recv); a shared one is a linked list through its WQEs (mlx5_wqe_srq_next_seg), because they come back in
// any order. Both announce what was posted by a count in their doorbell record.
#pragma once

#include <algorithm>
#include <cstdint>

#include "nic/attributes.h"
#include "nic/memory_region.h"
#include "nic/wqe.h"

namespace soft {

enum class ScatterResult : uint8_t { ok, tooLong, protection };

class ReceiveQueue;

// One receive WQE that the NIC has taken. It stays in the ring: each element is copied as it is used.
struct ReceiveWqe {
  // Writes `length` bytes of a message, beginning `offset` bytes into it.
  [[gnu::noinline]] ScatterResult scatter(const MemoryTable& memory, uint32_t pd, uint64_t offset, const uint8_t* data,
                                          uint64_t length) const {
    const uint8_t* at = list;
    for (uint32_t left = maxSegments; length != 0; at += SendWqe::kSegment, --left) {
      if (left == 0) return ScatterResult::tooLong;
      uint64_t low, high;
      if (!read(at, &low, &high)) return ScatterResult::protection;
      const DataSegment segment(low, high);
      if (segment.isEnd()) return ScatterResult::tooLong;
      const uint64_t room = segment.bytes();
      if (offset >= room) {
        offset -= room;
        continue;
      }
      const uint64_t part = std::min(length, room - offset);
      uint8_t* to = memory.translate(segment.lkey, segment.address + offset, part, pd, kAccessLocalWrite);
      if (to == nullptr) return ScatterResult::protection;
      if (!guardedLand(to, data, part)) return ScatterResult::protection;
      data += part;
      length -= part;
      offset = 0;
    }
    return ScatterResult::ok;
  }

  // The same from its beginning. Nearly every message goes into the first element as a whole.
  ScatterResult scatter(const MemoryTable& memory, uint32_t pd, const uint8_t* data, uint64_t length) const {
    uint64_t low, high;
    if (maxSegments == 0 || !guardedLoad16(list, &low, &high)) return scatter(memory, pd, 0, data, length);
    const DataSegment segment(low, high);
    if (segment.isEnd() || length > segment.bytes() || length == 0) return scatter(memory, pd, 0, data, length);
    uint8_t* to = memory.translate(segment.lkey, segment.address, length, pd, kAccessLocalWrite);
    return to != nullptr && guardedLand(to, data, length) ? ScatterResult::ok : ScatterResult::protection;
  }

  // What scatter() from the beginning would say, without writing.
  ScatterResult check(const MemoryTable& memory, uint32_t pd, uint64_t length) const {
    const uint8_t* at = list;
    for (uint32_t left = maxSegments; length != 0; at += SendWqe::kSegment, --left) {
      if (left == 0) return ScatterResult::tooLong;
      uint64_t low, high;
      if (!read(at, &low, &high)) return ScatterResult::protection;
      const DataSegment segment(low, high);
      if (segment.isEnd()) return ScatterResult::tooLong;
      const uint64_t part = std::min(length, segment.bytes());
      if (memory.translate(segment.lkey, segment.address, part, pd, kAccessLocalWrite) == nullptr) {
        return ScatterResult::protection;
      }
      length -= part;
    }
    return ScatterResult::ok;
  }

  // Whether an element has MLX5_INLINE_SEG: a receive WQE with inline data names no memory to write to.
  bool isInline() const {
    const uint8_t* at = list;
    for (uint32_t left = maxSegments; left != 0; at += SendWqe::kSegment, --left) {
      uint64_t low, high;
      if (!read(at, &low, &high)) return false;
      const DataSegment segment(low, high);
      if (segment.isEnd()) break;
      if (segment.isInline()) return true;
    }
    return false;
  }

  // How much it has room for.
  uint64_t capacity() const {
    uint64_t total = 0;
    const uint8_t* at = list;
    for (uint32_t left = maxSegments; left != 0; at += SendWqe::kSegment, --left) {
      uint64_t low, high;
      if (!read(at, &low, &high)) return ~uint64_t{0};  // scatter() says why not
      const DataSegment segment(low, high);
      if (segment.isEnd()) break;
      total += segment.bytes();
    }
    return total;
  }

  // Reads one element. False when the ring's memory is gone.
  bool read(const uint8_t* at, uint64_t* low, uint64_t* high) const;

  const uint8_t* list = nullptr;
  ReceiveQueue* queue = nullptr;  // whose ring the list lies in; null for a list of another kind
  uint32_t maxSegments = 0;
  uint16_t index = 0;  // for the CQE's wqe_counter
};

class ReceiveQueue {
 public:
  // `nextSegment`: its WQEs begin with mlx5_wqe_srq_next_seg.
  ReceiveQueue(const ReceiveRing& ring, bool shared, bool nextSegment)
      : buffer_(static_cast<const uint8_t*>(ring.buffer)),
        doorbell_(ring.doorbell),
        count_(ring.count),
        shift_(ring.strideShift),
        prefix_((nextSegment ? 16 : 0) + (ring.signature && !shared ? 16 : 0)),
        maxSegments_(((1u << ring.strideShift) - prefix_) / SendWqe::kSegment),
        shared_(shared) {}

  // Takes the next posted WQE. False when there is none.
  bool take(ReceiveWqe* wqe) {
    if (!peek(wqe)) return false;
    if (shared_) {
      uint64_t low, high;
      if (!guardedLoad16(wqe->list - prefix_, &low, &high)) return lose();
      static_assert(offsetof(mlx5_wqe_srq_next_seg, next_wqe_index) == 2, "in the first word");
      next_ = __builtin_bswap16(static_cast<uint16_t>(low >> 16));
    }
    ++taken_;
    return true;
  }

  // The one that take() would take.
  bool peek(ReceiveWqe* wqe) {
    if (taken_ == posted_) {
      if (count_ == 0 || lost_ || !loadPosted()) return false;
      if (taken_ == posted_) return false;
    }
    const uint32_t slot = (shared_ ? next_ : taken_) & (count_ - 1);
    const uint8_t* at = buffer_ + (size_t{slot} << shift_);
    wqe->list = at + prefix_;
    wqe->queue = this;
    wqe->maxSegments = maxSegments_;
    wqe->index = shared_ ? static_cast<uint16_t>(slot) : taken_;
    return true;
  }

  // Asks for what will be needed some WQEs from now: the WQE itself, and the memory that a nearer one names.
  void prefetchAhead(const MemoryTable& memory) const {
    if (shared_) return;  // who comes next is in the WQE before
    const uint16_t left = static_cast<uint16_t>(posted_ - taken_);
    const auto at = [this](uint32_t ahead) {
      return buffer_ + (size_t{(taken_ + ahead) & (count_ - 1)} << shift_) + prefix_;
    };
    if (left > kWqesAhead) prefetch(at(kWqesAhead));
    uint64_t low, high;
    if (left <= kTargetsAhead || !guardedLoad16(at(kTargetsAhead), &low, &high)) return;
    const DataSegment segment(low, high);
    prefetchForWrite(memory.guess(segment.lkey, segment.address));
  }

  // How many WQEs are posted and not taken.
  uint16_t posted() {
    if (count_ == 0 || lost_ || !loadPosted()) return 0;
    return static_cast<uint16_t>(posted_ - taken_);
  }

  void reset() {
    taken_ = posted_ = next_ = 0;
    lost_ = false;
  }
  // The memory of its ring or of its record is gone. Returns false.
  bool lose() {
    lost_ = true;
    posted_ = taken_;
    return false;
  }
  bool lost() const { return lost_; }
  uint32_t count() const { return count_; }

 private:
  static constexpr uint32_t kWqesAhead = 16, kTargetsAhead = 6;

  bool loadPosted() {
    uint32_t word;
    if (!loadDoorbell(doorbell_, &word)) return lose();
    posted_ = static_cast<uint16_t>(word);
    return true;
  }

  const uint8_t* buffer_;
  const void* doorbell_;
  uint32_t count_;
  uint32_t shift_;
  uint32_t prefix_;
  uint32_t maxSegments_;
  uint16_t taken_ = 0, posted_ = 0, next_ = 0;
  bool shared_;
  bool lost_ = false;
};

inline bool ReceiveWqe::read(const uint8_t* at, uint64_t* low, uint64_t* high) const {
  if (guardedLoad16(at, low, high)) return true;
  return queue != nullptr && queue->lose();
}

}  // namespace soft

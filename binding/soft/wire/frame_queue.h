// Frames on their way, in order: a ring of bytes in which each frame is contiguous, so that a NIC gathers straight into
// it and scatters straight out of it. One thread at a time: whoever steps the NICs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace soft {

class FrameQueue {
 public:
  explicit FrameQueue(size_t capacity = 1u << 19) : capacity_(capacity), bytes_(new uint8_t[capacity + kSlack]) {}

  // The largest frame that is carried: a RoCE packet of 4096 bytes or a jumbo frame, with headers and VLAN tags.
  static constexpr size_t kMaxFrame = 16384;

  // Room for a frame of up to `length` bytes; null when the queue is full. Nothing is queued until commit().
  uint8_t* reserve(size_t length) {
    const size_t need = taken(length);
    if (count_ == 0) head_ = tail_ = 0;  // empty: begin where the cache is warm
    if (tail_ >= head_) {
      if (tail_ + need <= capacity_) return bytes_.get() + tail_ + kHeader;
      if (need >= head_) return nullptr;
      wrap_ = tail_;
      tail_ = 0;
      return bytes_.get() + kHeader;
    }
    return tail_ + need < head_ ? bytes_.get() + tail_ + kHeader : nullptr;
  }

  // Queues the frame that was written to the last reservation; `length` may be less than was reserved.
  void commit(size_t length) {
    *reinterpret_cast<uint64_t*>(bytes_.get() + tail_) = length;
    tail_ += taken(length);
    ++count_;
  }

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }

  // The oldest frame. It stays where it is until pop().
  const uint8_t* front(size_t* length) {
    if (count_ == 0) return nullptr;
    if (head_ == wrap_ && tail_ < head_) head_ = 0;
    *length = *reinterpret_cast<uint64_t*>(bytes_.get() + head_);
    return bytes_.get() + head_ + kHeader;
  }

  void pop() {
    size_t length;
    if (front(&length) != nullptr) pop(length);
  }

  // The same, with the length that front() gave.
  void pop(size_t length) {
    head_ += taken(length);
    --count_;
  }

  // The oldest frames, up to `max`, without taking them; for a wire that hands over several at once.
  size_t list(const uint8_t** frames, size_t* lengths, size_t max) {
    size_t at = head_, listed = 0;
    for (; listed < max && listed < count_; ++listed) {
      if (at == wrap_ && tail_ < at) at = 0;
      lengths[listed] = *reinterpret_cast<uint64_t*>(bytes_.get() + at);
      frames[listed] = bytes_.get() + at + kHeader;
      at += taken(lengths[listed]);
    }
    return listed;
  }

  void clear() { head_ = tail_ = count_ = 0; }

 private:
  static constexpr size_t kHeader = 8;
  static constexpr size_t kSlack = 64;  // checksums read whole words

  // What a frame takes of the ring.
  static size_t taken(size_t length) { return kHeader + ((length + 7) & ~size_t{7}); }

  size_t capacity_;
  std::unique_ptr<uint8_t[]> bytes_;
  size_t head_ = 0, tail_ = 0, count_ = 0;
  size_t wrap_ = ~size_t{0};  // where the tail turned back
};

}  // namespace soft

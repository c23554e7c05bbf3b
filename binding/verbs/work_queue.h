// One work queue of a queue pair: the requests that the device has, and their cookies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace verbs {

// Slots are claimed and retired in order, as the device completes in order: a completion retires its own slot and all
// older ones, which were unsignalled.
class WorkQueue {
 public:
  explicit WorkQueue(uint32_t capacity) : capacity_(capacity) {
    while (mask_ + 1 < capacity) mask_ = mask_ * 2 + 1;
    slots_.resize(size_t{mask_} + 1);
  }

  static constexpr uint32_t kMaxCapacity = 1u << 24;

  uint32_t capacity() const { return capacity_; }
  uint32_t outstanding() const { return outstanding_; }
  uint32_t free() const { return capacity_ - outstanding_; }

  // The low half of the wr_id of the request that is `ahead` of the next free slot: epoch and slot.
  uint32_t name(uint32_t ahead) const { return epoch_ << 24 | slotAt(ahead); }

  // Requests in the device that generate a completion even if they succeed.
  uint32_t signaled() const { return signaled_; }

  // Records a request that is about to be posted `ahead` of the next free slot.
  void write(uint32_t ahead, uint32_t cookie, uint8_t opcode, bool wanted, bool signaled) {
    slots_[slotAt(ahead)] = {cookie, opcode, wanted, signaled};
  }
  // The device has accepted `count` requests.
  void accept(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) signaled_ += slots_[slotAt(i)].signaled;
    outstanding_ += count;
  }

  // Retires the request `name`, which has completed. Returns false if it is not outstanding (stale). `*wanted` says
  // whether the caller asked for the completion, or only postSend() did so that the queue moves on; `*opcode` is that
  // of the request, which a device does not report for a failed one.
  bool retire(uint32_t name, uint32_t* cookie, uint32_t* opcode, bool* wanted) {
    const uint32_t slot = name & (kMaxCapacity - 1);
    const uint32_t distance = (slot - tail_) & mask_;
    if ((name >> 24 & 0x7f) != epoch_ || slot > mask_ || distance >= outstanding_) return false;
    *cookie = slots_[slot].cookie;
    *opcode = slots_[slot].opcode;
    *wanted = slots_[slot].wanted;
    for (uint32_t i = 0; i <= distance; i++) {
      signaled_ -= slots_[tail_].signaled;
      tail_ = (tail_ + 1) & mask_;
    }
    outstanding_ -= distance + 1;
    return true;
  }

  // RESET: the device has no request any more, and a completion that still arrives is stale.
  void reset() {
    outstanding_ = 0;
    signaled_ = 0;
    tail_ = 0;
    epoch_ = (epoch_ + 1) & 0x7f;
  }

 private:
  struct Slot {
    uint32_t cookie;
    uint8_t opcode;  // ibv_wc_opcode
    bool wanted;     // the caller asked for its completion
    bool signaled;   // it generates one
  };

  uint32_t slotAt(uint32_t ahead) const { return (tail_ + outstanding_ + ahead) & mask_; }

  const uint32_t capacity_;
  uint32_t mask_ = 0;  // the slots are a power of two, so that a place costs no division
  std::vector<Slot> slots_;
  uint32_t tail_ = 0;
  uint32_t outstanding_ = 0;
  uint32_t signaled_ = 0;
  uint32_t epoch_ = 0;
};

}  // namespace verbs

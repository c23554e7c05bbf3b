// An arena cut into frames of one size (FramePool, lib/ethernet/frames.ts), and the record of each in shared words:
// what every backend sends from and receives into. Both memories live as long as this.
//
// JavaScript and other threads can write anything into a ring or a record at any moment. An address from there is read
// once, and only the copy that at() or holds() has accepted leads into the arena.
#pragma once

#include <napi.h>
#include <net/ethernet.h>

#include <cstddef>
#include <cstdint>

#include "ethernet/records.h"
#include "shared_memory.h"

namespace ethernet {

// What a frame's record tells besides the frame's place.
struct FrameMetadata {
  uint32_t length = 0;    // bytes received
  uint32_t original = 0;  // bytes of the whole frame
  uint32_t flags = 0;
  uint32_t checksum = 0;
  uint32_t vlan = 0;
  uint32_t seconds = 0;
  uint32_t nanoseconds = 0;
};

class ArenaFrames {
 public:
  // Of `options`: `arena`; `frames`, the records, of which there are as many as frames; `frameSize`; `headroom`, bytes
  // left free before a received frame. Throws what is wrong with them.
  explicit ArenaFrames(Napi::Object options);

  // The frame in which an address lies; false for an address outside every frame.
  bool at(uint32_t address, uint32_t* frame) const {
    *frame = address >> shift_;
    return *frame < count_;
  }
  // The same for `length` bytes to send from there: false also for fewer than an Ethernet header has, and for more than
  // the frame still has.
  bool holds(uint32_t address, uint32_t length, uint32_t* frame) const {
    const uint32_t size = frameSize();
    return at(address, frame) && length >= ETH_HLEN && length <= size - (address & (size - 1));
  }

  uint32_t frameSize() const { return 1u << shift_; }
  // Where a frame is received to, and the room that it has there, in bytes.
  uint32_t addressOf(uint32_t frame) const { return (frame << shift_) + headroom_; }
  uint32_t room() const { return frameSize() - headroom_; }
  uint8_t* bytes(uint32_t address) const { return arena_.data() + address; }
  // All frames, without what may be left of the arena behind them.
  uint8_t* data() const { return arena_.data(); }
  size_t length() const { return size_t{count_} << shift_; }

  const uint32_t* record(uint32_t frame) const { return records_.words() + size_t{frame} * FrameRecord::kWords; }
  // Writes the whole record of a frame that was received to its addressOf().
  void describe(uint32_t frame, const FrameMetadata& metadata) const;
  // The same for a frame of which no more is known than its length and the lowest byte of the flags.
  void describeBriefly(uint32_t frame, uint32_t length, uint32_t flags) const {
    uint32_t* words = records_.words() + size_t{frame} * FrameRecord::kWords;
    words[FrameRecord::kOffset] = addressOf(frame);
    words[FrameRecord::kLength] = length;
    words[FrameRecord::kFlags] = flags | FrameRecord::kBrief;
  }

 private:
  SharedMemory arena_;
  SharedMemory records_;
  uint32_t shift_ = 0;  // log2 of the frame size
  uint32_t headroom_;
  uint32_t count_ = 0;
};

}  // namespace ethernet

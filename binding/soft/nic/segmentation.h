// TCP segmentation offload: one header, much payload, many frames (MLX5_OPCODE_TSO, "LSO" in the PRM).
#pragma once

#include <cstdint>

#include "nic/packet.h"

namespace soft {

class Segmenter {
 public:
  // `header` is the Ethernet, IP and TCP (or UDP) header of the whole; `total` the payload, `mss` that of one frame.
  Segmenter(const uint8_t* header, uint32_t headerLength, uint64_t total, uint32_t mss);

  // Whether the header is one that can be segmented and mss is not 0.
  bool valid() const { return valid_; }

  // The payload of the segment that begins at `offset`.
  uint32_t payload(uint64_t offset) const {
    return static_cast<uint32_t>(total_ - offset < mss_ ? total_ - offset : mss_);
  }

  // Writes the header of the segment that begins at `offset`: lengths, IPv4 identification, TCP sequence number and
  // flags. Checksums are the caller's.
  void writeHeader(uint8_t* frame, uint64_t offset) const;

 private:
  const uint8_t* header_;
  uint32_t headerLength_;
  uint64_t total_;
  uint32_t mss_;
  uint32_t l3_ = 0, l4_ = 0;
  uint8_t ipVersion_ = 0, protocol_ = 0;
  bool valid_ = false;
};

}  // namespace soft

// The frames of an arena, for both directions of a packet socket, and the record that receiving writes for each.
#pragma once

#include <napi.h>

#include <cstdint>

// The header has a field of that name.
#define class class_
#include <linux/virtio_net.h>
#undef class

#include "ethernet/records.h"
#include "shared_memory.h"

namespace ethernet {

// What the kernel reports of a received frame besides its bytes.
struct FrameMetadata {
  uint32_t length = 0;    // bytes received
  uint32_t original = 0;  // bytes of the whole frame
  uint32_t flags = 0;
  uint32_t checksum = 0;
  uint32_t vlan = 0;
  uint32_t seconds = 0;
  uint32_t nanoseconds = 0;

  // linux/virtio_net.h: the state of the checksum, and GSO: whether it is a super-frame of several segments.
  void add(const virtio_net_hdr& header) {
    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
      flags |= FrameRecord::kChecksumPartial;
      checksum = static_cast<uint32_t>(header.csum_start) << 16 | header.csum_offset;
    }
    if (header.flags & VIRTIO_NET_HDR_F_DATA_VALID) flags |= FrameRecord::kChecksumValid;
    if (header.gso_type & VIRTIO_NET_HDR_GSO_ECN) flags |= FrameRecord::kSegmentsEcn;
    flags |= (header.gso_type & FrameRecord::kSegmentTypeMask) << FrameRecord::kSegmentTypeShift;
    flags |= static_cast<uint32_t>(header.gso_size) << FrameRecord::kSegmentSizeShift;
  }
  // TP_STATUS_*, and the VLAN tag that the kernel stripped (packet(7)).
  void add(uint32_t status, uint32_t tpid, uint32_t tci);
};

// The header that has the kernel complete the checksum and segment the frame, as its record says.
virtio_net_hdr headerOf(const uint32_t* record);

struct PacketFrames {
  // Throws what is wrong with `arena`, `frames`, `frameSize`, `headroom`.
  explicit PacketFrames(Napi::Object options);

  bool at(uint32_t address, uint32_t* frame) const {
    *frame = address / frameSize;
    return *frame < frameCount;
  }
  uint32_t addressOf(uint32_t frame) const { return frame * frameSize + headroom; }
  uint8_t* bytes(uint32_t address) const { return arena.data() + address; }
  // Room for a received frame, in bytes.
  uint32_t room() const { return frameSize - headroom; }
  uint32_t* record(uint32_t frame) const { return records.words() + size_t{frame} * FrameRecord::kWords; }
  void describe(uint32_t frame, const FrameMetadata& metadata) const;

  SharedMemory arena;
  SharedMemory records;
  uint32_t frameSize;
  uint32_t headroom;
  uint32_t frameCount = 0;
};

}  // namespace ethernet

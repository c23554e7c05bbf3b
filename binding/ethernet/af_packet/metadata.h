// What a packet socket tells of a frame besides its bytes, between the kernel's headers and the frame's record.
#pragma once

#include <cstdint>

// The header has a field of that name.
#define class class_
#include <linux/virtio_net.h>
#undef class

#include "ethernet/arena_frames.h"

namespace ethernet {

struct PacketMetadata : FrameMetadata {
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

}  // namespace ethernet

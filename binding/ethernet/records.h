// What crosses between lib/ethernet/ and the binding. The ring records have the shapes of AF_XDP's (struct xdp_desc and
// the u64 addresses of the fill and completion rings, linux/if_xdp.h), as little u32 words: TypeScript has no cheap
// u64.
#pragma once

#include <cstdint>

namespace ethernet {

// Fill ring: u64 address of a frame to receive into. Completion ring: u64 address of a frame that was sent or refused;
// its upper word, always 0 in arenas below 4 GiB, is a status here: 0, or the errno with which the frame was refused.
struct AddressRecord {
  enum : uint32_t { kAddress, kStatus, kWords };
};

// Receive and transmit rings: u64 address, u32 length, u32 options. Where the transmit ring is its own completion ring,
// the address's upper word is a status once the record is consumed, as in AddressRecord.
struct DescriptorRecord {
  enum : uint32_t { kAddress, kAddressHigh, kLength, kOptions, kWords };
  static constexpr uint32_t kStatus = kAddressHigh;
  // Options of the transmit ring of a packet socket: what the kernel is to do to the frame, by its record. Of a raw
  // packet queue pair's: kFinish, the device computes the checksums.
  enum Options : uint32_t {
    kFinish = 1 << 0,     // complete the checksum, cut a super-frame into its segments
    kInsertTag = 1 << 1,  // put the VLAN tag back
  };
};

// One per frame of the arena, written when a frame was received. lib/ethernet/frames.ts reads it.
struct FrameRecord {
  enum : uint32_t { kOffset, kLength, kOriginalLength, kFlags, kVlan, kSeconds, kNanoseconds, kChecksum, kWords };
  enum Flags : uint32_t {
    kTruncated = 1 << 0,
    kChecksumPartial = 1 << 1,  // the sender left the checksum to a device: kChecksum holds its start << 16 | offset
    kChecksumValid = 1 << 2,    // the kernel or the device has verified it
    kPacketTypeShift = 8,       // 3 bits: sll_pkttype, packet(7): PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, …
    kSegmentsEcn = 1 << 11,     // VIRTIO_NET_HDR_GSO_ECN
    kSegmentTypeShift = 12,     // 3 bits: VIRTIO_NET_HDR_GSO_*
    kSegmentTypeMask = 7,
    kBrief = 1 << 15,        // only offset, length and the lowest byte of the flags were written
    kSegmentSizeShift = 16,  // 16 bits: payload of each segment of a super-frame; 0 for a frame that is none
  };
};

}  // namespace ethernet

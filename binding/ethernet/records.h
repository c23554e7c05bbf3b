// What crosses between lib/ethernet/ and the binding. The ring records have the shapes of AF_XDP's (struct xdp_desc and
// the u64 addresses of the fill and completion rings, linux/if_xdp.h), as little u32 words: TypeScript has no cheap u64.
#pragma once

#include <cstdint>

namespace ethernet {

// Fill ring: u64 address of a frame to receive into. Completion ring: u64 address of a frame that is done with; here its
// upper word, always 0 in arenas below 4 GiB, says how it went: 0, or the errno with which the frame was refused.
struct AddressRecord {
  enum : uint32_t { kAddress, kStatus, kWords };
};

// Receive and transmit rings: u64 address, u32 length, u32 options (none yet).
struct DescriptorRecord {
  enum : uint32_t { kAddress, kAddressHigh, kLength, kOptions, kWords };
};

// One per frame of the arena, written when a frame was received. lib/ethernet/frames.ts reads it.
struct FrameRecord {
  enum : uint32_t { kOffset, kLength, kOriginalLength, kFlags, kVlan, kSeconds, kNanoseconds, kReserved, kWords };
  enum Flags : uint32_t {
    kTruncated = 1 << 0,
    kChecksumPartial = 1 << 1,  // TP_STATUS_CSUMNOTREADY: the sender left the checksum to a device that there is not
    kChecksumValid = 1 << 2,    // TP_STATUS_CSUM_VALID: the kernel or the device has verified it
    kPacketTypeShift = 8,       // sll_pkttype, packet(7): PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, …
  };
};

}  // namespace ethernet

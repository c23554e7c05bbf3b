// CRC-32 (IEEE 802.3), and the invariant CRC that closes every RoCE packet.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/packet.h"

namespace soft {

// The reflected CRC-32 of Ethernet's frame check sequence: begun with all ones, inverted at the end.
uint32_t crc32(const uint8_t* bytes, size_t length);
uint32_t crc32Update(uint32_t crc, const uint8_t* bytes, size_t length);

// The ICRC of a RoCEv2 packet from its IP header up to, and without, the ICRC itself: what routers may change counts as
// ones (InfiniBand annex A17.3.3). `end` is where the ICRC begins.
uint32_t invariantCrc(const uint8_t* frame, const Layers& layers, size_t end);

}  // namespace soft

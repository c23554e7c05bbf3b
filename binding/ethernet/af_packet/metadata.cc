#include "ethernet/af_packet/metadata.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>

namespace ethernet {

void PacketMetadata::add(uint32_t status, uint32_t tpid, uint32_t tci) {
  if (status & TP_STATUS_CSUM_VALID) flags |= FrameRecord::kChecksumValid;
  if (status & TP_STATUS_VLAN_VALID) {
    vlan = (status & TP_STATUS_VLAN_TPID_VALID ? tpid : uint32_t{ETHERTYPE_VLAN}) << 16 | tci;
  }
}

virtio_net_hdr headerOf(const uint32_t* record) {
  virtio_net_hdr header{};
  // JavaScript may change the record meanwhile: each word is read once. The kernel checks the header.
  const uint32_t flags = __atomic_load_n(record + FrameRecord::kFlags, __ATOMIC_RELAXED);
  const uint32_t checksum = __atomic_load_n(record + FrameRecord::kChecksum, __ATOMIC_RELAXED);
  if (flags & FrameRecord::kChecksumPartial) {
    header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header.csum_start = static_cast<uint16_t>(checksum >> 16);
    header.csum_offset = static_cast<uint16_t>(checksum);
  }
  header.gso_type = flags >> FrameRecord::kSegmentTypeShift & FrameRecord::kSegmentTypeMask;
  if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
    if (flags & FrameRecord::kSegmentsEcn) header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    header.gso_size = static_cast<uint16_t>(flags >> FrameRecord::kSegmentSizeShift);
  }
  return header;
}

}  // namespace ethernet

#include "ethernet/af_packet/frames.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>

#include "argument.h"

namespace ethernet {

void FrameMetadata::add(uint32_t status, uint32_t tpid, uint32_t tci) {
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

PacketFrames::PacketFrames(Napi::Object options)
    : arena(options.Env(), options.Get("arena"), "arena"),
      records(options.Env(), options.Get("frames"), "frames"),
      frameSize(argument::field<uint32_t>(options, "frameSize")),
      headroom(argument::field<uint32_t>(options, "headroom")) {
  Napi::Env env = options.Env();
  if (frameSize < 64 || (frameSize & (frameSize - 1)) != 0) {
    throwArgumentRange(env, "frameSize", "a power of two, at least 64");
  }
  if (headroom > frameSize - ETH_HLEN) throwArgumentRange(env, "headroom", "smaller than a frame");
  const size_t count = arena.length() / frameSize;
  if (count == 0 || arena.length() > UINT32_MAX) throwArgumentRange(env, "arena", "from one frame to 4 GiB");
  frameCount = static_cast<uint32_t>(count);
  if (!records.aligned(sizeof(uint32_t)) || records.length() / sizeof(uint32_t) < count * FrameRecord::kWords) {
    throwArgumentRange(env, "frames", "a record for each frame of the arena");
  }
}

void PacketFrames::describe(uint32_t frame, const FrameMetadata& metadata) const {
  uint32_t* record = this->record(frame);
  record[FrameRecord::kOffset] = addressOf(frame);
  record[FrameRecord::kLength] = metadata.length;
  record[FrameRecord::kOriginalLength] = metadata.original;
  record[FrameRecord::kFlags] = metadata.flags;
  record[FrameRecord::kVlan] = metadata.vlan;
  record[FrameRecord::kSeconds] = metadata.seconds;
  record[FrameRecord::kNanoseconds] = metadata.nanoseconds;
  record[FrameRecord::kChecksum] = metadata.checksum;
}

}  // namespace ethernet

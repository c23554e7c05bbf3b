#include "nic/segmentation.h"

#include <cstring>

#include "nic/bytes.h"

namespace soft {

namespace {

constexpr uint8_t kTcpFin = 0x01, kTcpPush = 0x08, kTcpCwr = 0x80;
constexpr uint32_t kMaxHeader = 512;

}  // namespace

Segmenter::Segmenter(const uint8_t* header, uint32_t headerLength, uint64_t total, uint32_t mss)
    : header_(header), headerLength_(headerLength), total_(total), mss_(mss) {
  if (mss == 0 || total == 0 || headerLength > kMaxHeader || headerLength < 14 + 20 + 8) return;
  // The lengths in it are those of the whole, or nothing yet: give it ones that fit, to find the layers.
  uint8_t copy[kMaxHeader];
  std::memcpy(copy, header, headerLength);
  uint32_t at = 12;
  while (at + 6 <= headerLength && (load16(copy + at) == kEtherTypeVlan || load16(copy + at) == kEtherTypeSvlan))
    at += 4;
  at += 2;
  if (load16(copy + at - 2) == kEtherTypeIpv4 && at + 20 <= headerLength) {
    store16(copy + at + 2, static_cast<uint16_t>(headerLength - at));
  } else if (load16(copy + at - 2) == kEtherTypeIpv6 && at + 40 <= headerLength) {
    store16(copy + at + 4, static_cast<uint16_t>(headerLength - at - 40));
  }
  Layers layers;
  parseLayers(copy, headerLength, 0, &layers);
  if (layers.ipVersion == 0 || layers.fragment || layers.l4 == 0) return;
  l3_ = layers.l3;
  l4_ = layers.l4;
  ipVersion_ = layers.ipVersion;
  protocol_ = layers.protocol;
  if (protocol_ == kProtocolTcp) {
    valid_ = l4_ + 20 <= headerLength && l4_ + (copy[l4_ + 12] >> 4) * 4u == headerLength;
  } else if (protocol_ == kProtocolUdp) {
    valid_ = l4_ + 8 == headerLength;
  }
}

void Segmenter::writeHeader(uint8_t* frame, uint64_t offset) const {
  std::memcpy(frame, header_, headerLength_);
  const uint32_t size = payload(offset);
  const bool last = offset + size == total_;
  if (ipVersion_ == 4) {
    store16(frame + l3_ + 2, static_cast<uint16_t>(headerLength_ - l3_ + size));
    const uint16_t identification = load16(frame + l3_ + 4);
    store16(frame + l3_ + 4, static_cast<uint16_t>(identification + offset / mss_));
  } else {
    store16(frame + l3_ + 4, static_cast<uint16_t>(headerLength_ - l3_ - 40 + size));
  }
  if (protocol_ == kProtocolUdp) {
    store16(frame + l4_ + 4, static_cast<uint16_t>(8 + size));
    return;
  }
  store32(frame + l4_ + 4, static_cast<uint32_t>(load32(frame + l4_ + 4) + offset));
  if (!last) frame[l4_ + 13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPush));
  if (offset != 0) frame[l4_ + 13] &= static_cast<uint8_t>(~kTcpCwr);  // RFC 3168: on the first one only
}

}  // namespace soft

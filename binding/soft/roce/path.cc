#include "roce/path.h"

#include <cstring>

#include "nic/bytes.h"
#include "nic/checksum.h"
#include "nic/engine.h"
#include "nic/gid.h"
#include "nic/icrc.h"
#include "roce/headers.h"

namespace soft {
namespace roce {

void Path::set(const PathAddress& address, const Mac& own, uint16_t udpSource) {
  layers_ = Layers{};
  std::memset(headers_, 0, sizeof headers_);
  Mac destination = address.destinationMac;
  // Neither resolved nor in the GID itself: the broadcast address.
  if (destination == Mac{} && !macOf(address.destinationGid, &destination)) destination.fill(0xff);
  std::memcpy(headers_, destination.data(), 6);
  std::memcpy(headers_ + 6, own.data(), 6);
  uint8_t* ip = headers_ + 14;
  layers_.l3 = 14;
  if (isIpv4(address.destinationGid)) {
    layers_.ipVersion = 4;
    layers_.l3Length = 20;
    store16(headers_ + 12, kEtherTypeIpv4);
    ip[0] = 0x45;
    ip[1] = address.trafficClass;
    store16(ip + 6, 0x4000);  // do not fragment
    ip[8] = address.hopLimit;
    ip[9] = kProtocolUdp;
    std::memcpy(ip + 12, address.sourceGid.data() + 12, 4);
    std::memcpy(ip + 16, address.destinationGid.data() + 12, 4);
  } else {
    layers_.ipVersion = 6;
    layers_.l3Length = 40;
    store16(headers_ + 12, kEtherTypeIpv6);
    store32(ip, 6u << 28 | uint32_t{address.trafficClass} << 20 | (address.flowLabel & 0xfffff));
    ip[6] = kProtocolUdp;
    ip[7] = address.hopLimit;
    std::memcpy(ip + 8, address.sourceGid.data(), 16);
    std::memcpy(ip + 24, address.destinationGid.data(), 16);
  }
  layers_.protocol = kProtocolUdp;
  layers_.l4 = layers_.l3 + layers_.l3Length;
  store16(headers_ + layers_.l4, udpSource);
  store16(headers_ + layers_.l4 + 2, kPortRoce);
}

size_t Path::write(uint8_t* frame, size_t length) const {
  const size_t start = size();
  std::memcpy(frame, headers_, start);
  uint8_t* ip = frame + layers_.l3;
  const uint16_t udpLength = static_cast<uint16_t>(length + 8);
  if (layers_.ipVersion == 4) {
    store16(ip + 2, static_cast<uint16_t>(20 + udpLength));
    const uint16_t sum = static_cast<uint16_t>(~checksumFold(checksumAdd(ip, 20)));
    std::memcpy(ip + 10, &sum, 2);
  } else {
    store16(ip + 4, udpLength);
  }
  store16(frame + layers_.l4 + 4, udpLength);  // its checksum stays 0: the ICRC guards the packet (annex A17)
  return start;
}

uint16_t udpSourcePort(uint32_t flowLabel, uint32_t localQpn, uint32_t remoteQpn) {
  if (flowLabel == 0) {
    uint64_t value = uint64_t{localQpn} * remoteQpn;
    value ^= value >> 20;
    value ^= value >> 40;
    flowLabel = static_cast<uint32_t>(value & 0xfffff);
  }
  return static_cast<uint16_t>(((flowLabel & 0x3fff) ^ (flowLabel >> 14 & 0x3f)) | 0xc000);
}

bool PacketWriter::open(Engine& engine, Port& port, const Path& path, size_t length) {
  static thread_local uint8_t lost[FrameQueue::kMaxFrame];
  pad_ = static_cast<uint8_t>(-length & 3);
  length_ = length;
  path_ = &path;
  port_ = &port;
  const size_t total = length + pad_ + kIcrcSize;
  queue_ = engine.outgoing(port, path.destinationMac());
  frame_ = queue_ == nullptr ? lost : queue_->reserve(path.size() + total);
  if (frame_ == nullptr) {
    engine.waitForWire();
    return false;
  }
  path.write(frame_, total);
  return true;
}

void PacketWriter::commit() {
  if (queue_ == nullptr) return;
  uint8_t* end = bth() + length_;
  std::memset(end, 0, pad_);
  end += pad_;
  const uint32_t icrc = invariantCrc(frame_, path_->layers(), static_cast<size_t>(end - frame_));
  std::memcpy(end, &icrc, kIcrcSize);  // least significant byte first, as Ethernet's own
  const size_t length = static_cast<size_t>(end - frame_) + kIcrcSize;
  queue_->commit(length);
  // A group's members at this very port hear it too, where the wire does not bring it back anyway.
  if ((frame_[0] & 1) != 0 && !port_->wire->loops()) {
    if (uint8_t* copy = port_->loopback.reserve(length)) {
      std::memcpy(copy, frame_, length);
      port_->loopback.commit(length);
    }
  }
  ++port_->counters.transmitFrames;
  port_->counters.transmitBytes += length;
}

}  // namespace roce
}  // namespace soft

// Where the headers of a frame lie. Nothing is read past its end; a header that does not fit is not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/attributes.h"

namespace soft {

constexpr uint16_t kEtherTypeIpv4 = 0x0800;
constexpr uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr uint16_t kEtherTypeVlan = 0x8100;   // IEEE 802.1Q
constexpr uint16_t kEtherTypeSvlan = 0x88a8;  // IEEE 802.1ad
constexpr uint8_t kProtocolTcp = 6;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint16_t kPortVxlan = 4789;  // RFC 7348
constexpr uint16_t kPortRoce = 4791;   // RoCEv2: InfiniBand annex A17

struct Layers {
  uint32_t l2 = 0;        // the Ethernet header
  uint32_t l3 = 0;        // the IP header, or what follows the Ethernet header
  uint32_t l3Length = 0;  // the IPv4 header with options; IPv6: up to the upper layer
  uint32_t l4 = 0;        // 0 when there is none
  uint32_t end = 0;       // of the IP packet; of the frame when it is not IP
  uint16_t etherType = 0;
  uint16_t vlanTag = 0;
  bool vlan = false;
  bool fragment = false;  // any fragment: the upper layer is not whole
  uint8_t ipVersion = 0;
  uint8_t protocol = 0;
};

// Parses the Ethernet frame that begins `at` bytes into `frame` (an inner one begins behind its tunnel header).
void parseLayers(const uint8_t* frame, size_t length, size_t at, Layers* layers);

// The inner Ethernet frame of a VXLAN packet: where it begins, or 0.
inline size_t vxlanInner(const uint8_t* frame, const Layers& outer) {
  if (outer.l4 == 0 || outer.protocol != kProtocolUdp || outer.fragment) return 0;
  if (outer.end < outer.l4 + 16 + 14) return 0;
  if ((frame[outer.l4 + 2] << 8 | frame[outer.l4 + 3]) != kPortVxlan) return 0;
  return outer.l4 + 16;
}

// The fields that flow rules compare, as nine words. FlowFields has the same ones by name; both are packed alike.
struct FlowKey {
  static constexpr uint32_t kWords = 9;
  uint8_t destinationMac[6];
  uint16_t etherType;
  uint8_t sourceMac[6];
  uint16_t vlanTag;
  uint8_t ipVersion, protocol, trafficClass, hopLimit;
  uint16_t sourcePort, destinationPort;
  uint32_t tunnelId, flowLabel;
  uint8_t sourceIp[16];
  uint8_t destinationIp[16];
  uint8_t vlanPresent, ipFlags, tcpFlags, unused[5];
};
static_assert(sizeof(FlowKey) == FlowKey::kWords * 8, "no padding");

void extractKey(const uint8_t* frame, const Layers& layers, FlowKey* key);
void packFields(const FlowFields& fields, FlowKey* key);

}  // namespace soft

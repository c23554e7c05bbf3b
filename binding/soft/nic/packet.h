// Where the headers of a frame lie. Nothing is read past its end; a header that does not fit is not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nic/attributes.h"
#include "nic/bytes.h"

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
  uint32_t end = 0;       // of the IP packet; of the frame when it is not IP, or ends before the packet
  uint16_t etherType = 0;
  uint16_t vlanTag = 0;
  bool vlan = false;
  bool truncated = false;      // the IP header says that there is more than the frame holds
  bool fragment = false;       // any fragment: the upper layer is not whole
  bool laterFragment = false;  // not the first one: the upper layer's header is elsewhere
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

// The fields that flow rules compare (FlowFields), packed into nine words. Host order; what a packet lacks is 0.
struct FlowKey {
  static constexpr uint32_t kWords = 9;
  // 0: destination MAC, EtherType · 1: source MAC, VLAN TCI · 2: IP version, protocol, traffic class, hop limit, source
  // port, destination port · 3: tunnel id, flow label · 4, 5: source address · 6, 7: destination address · 8: VLAN
  // present, IPv4 flags, TCP flags
  uint64_t words[kWords];

  static uint64_t mac(uint64_t address, uint16_t beside) { return address << 16 | beside; }
  // The first two words, of an Ethernet header at `l2`.
  static uint64_t destination(const uint8_t* l2, uint16_t etherType) { return mac(load64(l2) >> 16, etherType); }
  static uint64_t source(const uint8_t* l2, uint16_t vlanTag) {
    return mac(load64(l2 + 4) & 0xffffffffffff, vlanTag);  // bytes 6 … 11
  }
  static uint64_t network(uint8_t version, uint8_t protocol, uint8_t trafficClass, uint8_t hopLimit) {
    return uint64_t{version} << 56 | uint64_t{protocol} << 48 | uint64_t{trafficClass} << 40 | uint64_t{hopLimit} << 32;
  }
  static uint64_t ports(uint16_t source, uint16_t destination) { return uint64_t{source} << 16 | destination; }
  static uint64_t labels(uint32_t tunnelId, uint32_t flowLabel) { return uint64_t{tunnelId} << 32 | flowLabel; }
  static uint64_t flags(uint8_t vlanPresent, uint8_t ipFlags, uint8_t tcpFlags) {
    return uint64_t{vlanPresent} << 16 | uint64_t{ipFlags} << 8 | tcpFlags;
  }
};

// `words`: a bit for each word that is needed; others may be left as they are.
void extractKey(const uint8_t* frame, const Layers& layers, uint32_t words, FlowKey* key);
void packFields(const FlowFields& fields, FlowKey* key);

}  // namespace soft

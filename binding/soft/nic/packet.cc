#include "nic/packet.h"

#include <cstring>

namespace soft {

namespace {

// A card steers by headers that are there, whatever they say of what follows; its checksum units do not.
void setEnd(Layers* layers, uint32_t total, size_t length) {
  layers->truncated = layers->l3 + total > length;
  layers->end = layers->truncated ? static_cast<uint32_t>(length) : layers->l3 + total;
}

void parseIpv4(const uint8_t* frame, size_t length, Layers* layers) {
  const uint8_t* ip = frame + layers->l3;
  if (length < layers->l3 + 20) return;
  const uint32_t header = (ip[0] - 0x40u) * 4;  // of another version less than 20, or more than there can be
  const uint32_t total = load16(ip + 2);
  if (header - 20 > 40 || total < header || layers->l3 + header > length) return;
  layers->ipVersion = 4;
  layers->protocol = ip[9];
  layers->l3Length = header;
  setEnd(layers, total, length);
  const uint16_t fragment = load16(ip + 6);
  layers->fragment = (fragment & 0x3fff) != 0;  // more fragments, or an offset
  layers->laterFragment = (fragment & 0x1fff) != 0;
  layers->l4 = layers->l3 + header;
}

// RFC 8200, section 4: extension headers up to the upper layer.
void parseIpv6(const uint8_t* frame, size_t length, Layers* layers) {
  const uint8_t* ip = frame + layers->l3;
  if (length < layers->l3 + 40 || ip[0] >> 4 != 6) return;
  setEnd(layers, 40u + load16(ip + 4), length);
  const uint32_t total = layers->end - layers->l3;
  layers->ipVersion = 6;
  uint8_t next = ip[6];
  uint32_t at = 40;
  for (int i = 0; i < 8; ++i) {
    const bool options = next == 0 || next == 43 || next == 60;  // hop-by-hop, routing, destination
    if (!options && next != 44) break;
    if (at + 8 > total) break;
    if (next == 44) {
      layers->fragment = (load16(ip + at + 2) & 0xfff9) != 0;
      layers->laterFragment = (load16(ip + at + 2) & 0xfff8) != 0;
    }
    const uint32_t size = next == 44 ? 8 : 8u + ip[at + 1] * 8u;
    if (at + size > total) break;
    next = ip[at];
    at += size;
  }
  layers->protocol = next;
  layers->l3Length = at;
  layers->l4 = layers->l3 + at;
}

}  // namespace

void parseLayers(const uint8_t* frame, size_t length, size_t start, Layers* layers) {
  *layers = Layers{};
  layers->end = static_cast<uint32_t>(length);
  if (length < start + 14) return;
  uint32_t at = static_cast<uint32_t>(start) + 12;
  uint16_t type = load16(frame + at);
  layers->l2 = static_cast<uint32_t>(start);
  while ((type == kEtherTypeVlan || type == kEtherTypeSvlan) && length >= at + 6) {
    if (!layers->vlan) layers->vlanTag = load16(frame + at + 2);
    layers->vlan = true;
    at += 4;
    type = load16(frame + at);
  }
  layers->etherType = type;
  layers->l3 = at + 2;
  if (type == kEtherTypeIpv4) {
    parseIpv4(frame, length, layers);
  } else if (type == kEtherTypeIpv6) {
    parseIpv6(frame, length, layers);
  }
}

void extractKey(const uint8_t* frame, const Layers& layers, uint32_t needed, FlowKey* key) {
  const uint8_t* l2 = frame + layers.l2;
  uint64_t* words = key->words;
  words[0] = FlowKey::destination(l2, layers.etherType);
  words[1] = FlowKey::source(l2, layers.vlanTag);
  if (needed < 4) return;  // the Ethernet header alone
  for (uint32_t i = 2; i < FlowKey::kWords; ++i) words[i] = 0;
  uint8_t ipFlags = 0, tcpFlags = 0;
  const uint8_t* ip = frame + layers.l3;
  if (layers.ipVersion == 4) {
    words[2] = FlowKey::network(4, layers.protocol, ip[1], ip[8]);
    words[4] = uint64_t{load32(ip + 12)} << 32;
    words[6] = uint64_t{load32(ip + 16)} << 32;
    ipFlags = ip[6] >> 5;
  } else if (layers.ipVersion == 6) {
    words[2] = FlowKey::network(6, layers.protocol, static_cast<uint8_t>(load16(ip) >> 4), ip[7]);
    words[3] = FlowKey::labels(0, load32(ip) & 0xfffff);
    words[4] = load64(ip + 8);
    words[5] = load64(ip + 16);
    words[6] = load64(ip + 24);
    words[7] = load64(ip + 32);
  }
  const bool ports = layers.protocol == kProtocolTcp || layers.protocol == kProtocolUdp;
  if (layers.ipVersion != 0 && ports && !layers.laterFragment && layers.end >= layers.l4 + 8) {
    const uint8_t* l4 = frame + layers.l4;
    words[2] |= load32(l4);  // source and destination port
    if (layers.protocol == kProtocolTcp) {
      if (layers.end >= layers.l4 + 14) tcpFlags = l4[13];
    } else if (load16(l4 + 2) == kPortVxlan && layers.end >= layers.l4 + 16) {
      words[3] |= FlowKey::labels(load24(l4 + 8 + 4), 0);
    }
  }
  words[8] = FlowKey::flags(layers.vlan ? 1 : 0, ipFlags, tcpFlags);
}

void packFields(const FlowFields& fields, FlowKey* key) {
  uint64_t* words = key->words;
  words[0] =
      FlowKey::mac(uint64_t{load16(fields.destinationMac.data())} << 32 | load32(fields.destinationMac.data() + 2),
                   fields.etherType);
  words[1] = FlowKey::mac(uint64_t{load16(fields.sourceMac.data())} << 32 | load32(fields.sourceMac.data() + 2),
                          fields.vlanTag);
  words[2] = FlowKey::network(fields.ipVersion, fields.protocol, fields.trafficClass, fields.hopLimit) |
             FlowKey::ports(fields.sourcePort, fields.destinationPort);
  words[3] = FlowKey::labels(fields.tunnelId, fields.flowLabel);
  words[4] = load64(fields.sourceIp.data());
  words[5] = load64(fields.sourceIp.data() + 8);
  words[6] = load64(fields.destinationIp.data());
  words[7] = load64(fields.destinationIp.data() + 8);
  words[8] = FlowKey::flags(fields.vlanPresent, fields.ipFlags, fields.tcpFlags);
}

}  // namespace soft

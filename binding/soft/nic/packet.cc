#include "nic/packet.h"

#include <cstring>

#include "nic/bytes.h"

namespace soft {

namespace {

void parseIpv4(const uint8_t* frame, size_t length, Layers* layers) {
  const uint8_t* ip = frame + layers->l3;
  if (length < layers->l3 + 20 || ip[0] >> 4 != 4) return;
  const uint32_t header = (ip[0] & 15) * 4u;
  const uint32_t total = load16(ip + 2);
  if (header < 20 || total < header || layers->l3 + total > length) return;
  layers->ipVersion = 4;
  layers->protocol = ip[9];
  layers->l3Length = header;
  layers->end = layers->l3 + total;
  layers->fragment = (load16(ip + 6) & 0x3fff) != 0;  // more fragments, or an offset
  layers->l4 = layers->l3 + header;
}

// RFC 8200, section 4: extension headers up to the upper layer.
void parseIpv6(const uint8_t* frame, size_t length, Layers* layers) {
  const uint8_t* ip = frame + layers->l3;
  if (length < layers->l3 + 40 || ip[0] >> 4 != 6) return;
  const uint32_t total = 40u + load16(ip + 4);
  if (layers->l3 + total > length) return;
  layers->ipVersion = 6;
  layers->end = layers->l3 + total;
  uint8_t next = ip[6];
  uint32_t at = 40;
  for (int i = 0; i < 8; ++i) {
    const bool options = next == 0 || next == 43 || next == 60;  // hop-by-hop, routing, destination
    if (!options && next != 44) break;
    if (at + 8 > total) break;
    if (next == 44) layers->fragment = (load16(ip + at + 2) & 0xfff9) != 0;
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

void extractKey(const uint8_t* frame, const Layers& layers, FlowKey* key) {
  std::memset(key, 0, sizeof *key);
  std::memcpy(key->destinationMac, frame + layers.l2, 6);
  std::memcpy(key->sourceMac, frame + layers.l2 + 6, 6);
  key->etherType = layers.etherType;
  key->vlanTag = layers.vlanTag;
  key->vlanPresent = layers.vlan ? 1 : 0;
  if (layers.ipVersion == 0) return;
  const uint8_t* ip = frame + layers.l3;
  key->ipVersion = layers.ipVersion;
  key->protocol = layers.protocol;
  if (layers.ipVersion == 4) {
    key->trafficClass = ip[1];
    key->hopLimit = ip[8];
    key->ipFlags = ip[6] >> 5;
    std::memcpy(key->sourceIp, ip + 12, 4);
    std::memcpy(key->destinationIp, ip + 16, 4);
  } else {
    key->trafficClass = static_cast<uint8_t>(load16(ip) >> 4);
    key->hopLimit = ip[7];
    key->flowLabel = load32(ip) & 0xfffff;
    std::memcpy(key->sourceIp, ip + 8, 16);
    std::memcpy(key->destinationIp, ip + 24, 16);
  }
  if (layers.fragment && layers.ipVersion == 4 && (load16(ip + 6) & 0x1fff) != 0) return;  // not the first one
  const bool ports = layers.protocol == kProtocolTcp || layers.protocol == kProtocolUdp;
  if (!ports || layers.end < layers.l4 + 8) return;
  const uint8_t* l4 = frame + layers.l4;
  key->sourcePort = load16(l4);
  key->destinationPort = load16(l4 + 2);
  if (layers.protocol == kProtocolTcp && layers.end >= layers.l4 + 14) key->tcpFlags = l4[13];
  if (layers.protocol == kProtocolUdp && key->destinationPort == kPortVxlan && layers.end >= layers.l4 + 16) {
    key->tunnelId = load24(l4 + 8 + 4);
  }
}

void packFields(const FlowFields& fields, FlowKey* key) {
  std::memset(key, 0, sizeof *key);
  std::memcpy(key->destinationMac, fields.destinationMac.data(), 6);
  std::memcpy(key->sourceMac, fields.sourceMac.data(), 6);
  key->etherType = fields.etherType;
  key->vlanTag = fields.vlanTag;
  key->vlanPresent = fields.vlanPresent;
  key->ipVersion = fields.ipVersion;
  key->protocol = fields.protocol;
  key->trafficClass = fields.trafficClass;
  key->hopLimit = fields.hopLimit;
  key->ipFlags = fields.ipFlags;
  key->flowLabel = fields.flowLabel;
  std::memcpy(key->sourceIp, fields.sourceIp.data(), 16);
  std::memcpy(key->destinationIp, fields.destinationIp.data(), 16);
  key->sourcePort = fields.sourcePort;
  key->destinationPort = fields.destinationPort;
  key->tcpFlags = fields.tcpFlags;
  key->tunnelId = fields.tunnelId;
}

}  // namespace soft

// EX_CREATE_FLOW and EX_DESTROY_FLOW: ib_uverbs_flow_attr and the specifications behind it, of which each begins with
// its type and size (rdma/ib_user_verbs.h; drivers/infiniband/core/uverbs_cmd.c, ib_uverbs_ex_create_flow).
#include <endian.h>
#include <infiniband/verbs.h>

#include <algorithm>

#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

template <typename Array>
void copyBytes(const void* from, Array* to, size_t length) {
  memcpy(to->data(), from, length);
}

// Each of these fills the fields of one layer from a filter: once with the values, once with the masks.
void fill(const ib_uverbs_flow_eth_filter& from, FlowFields* to) {
  copyBytes(from.dst_mac, &to->destinationMac, 6);
  copyBytes(from.src_mac, &to->sourceMac, 6);
  to->etherType = be16toh(from.ether_type);
  to->vlanTag = be16toh(from.vlan_tag);
}

void fill(const ib_uverbs_flow_ipv4_filter& from, FlowFields* to) {
  copyBytes(&from.src_ip, &to->sourceIp, 4);
  copyBytes(&from.dst_ip, &to->destinationIp, 4);
  to->protocol = from.proto;
  to->trafficClass = from.tos;
  to->hopLimit = from.ttl;
  to->ipFlags = from.flags;
}

void fill(const ib_uverbs_flow_ipv6_filter& from, FlowFields* to) {
  copyBytes(from.src_ip, &to->sourceIp, 16);
  copyBytes(from.dst_ip, &to->destinationIp, 16);
  to->flowLabel = be32toh(from.flow_label);
  to->protocol = from.next_hdr;
  to->trafficClass = from.traffic_class;
  to->hopLimit = from.hop_limit;
}

void fill(const ib_uverbs_flow_tcp_udp_filter& from, FlowFields* to) {
  to->destinationPort = be16toh(from.dst_port);
  to->sourcePort = be16toh(from.src_port);
}

void fill(const ib_uverbs_flow_tunnel_filter& from, FlowFields* to) { to->tunnelId = be32toh(from.tunnel_id); }

// A value and a mask of equal size behind the header. They may be shorter than the kernel's filter (libibverbs has two
// kinds for IPv4), and longer where the mask asks for nothing there (uverbs_cmd.c, spec_filter_size).
template <typename Specification>
int layer(const uint8_t* bytes, size_t size, FlowMatch* match) {
  Specification specification{};
  constexpr size_t kHeader = sizeof(ib_uverbs_flow_spec_hdr);
  const size_t given = (size - kHeader) / 2;
  const size_t known = std::min(given, sizeof specification.mask);
  if (known == 0) return EINVAL;
  const uint8_t* mask = bytes + kHeader + given;
  if (std::any_of(mask + known, mask + given, [](uint8_t byte) { return byte != 0; })) return EINVAL;
  memcpy(&specification.val, bytes + kHeader, known);
  memcpy(&specification.mask, mask, known);
  fill(specification.val, &match->value);
  fill(specification.mask, &match->mask);
  return 0;
}

// What a specification says by being there at all: that there is such a header.
void require(uint8_t FlowFields::* field, uint8_t value, FlowMatch* match) {
  match->value.*field = value;
  match->mask.*field = 0xff;
}

int parse(uint32_t type, const uint8_t* bytes, size_t size, FlowRule* rule) {
  const bool inner = type & IBV_FLOW_SPEC_INNER;
  FlowMatch& match = inner ? rule->inner : rule->outer;
  switch (type & ~static_cast<uint32_t>(IBV_FLOW_SPEC_INNER)) {
    case IBV_FLOW_SPEC_ETH:
      if (const int error = layer<ib_uverbs_flow_spec_eth>(bytes, size, &match)) return error;
      // A mask over the tag asks for a tagged frame, too.
      if (match.mask.vlanTag) require(&FlowFields::vlanPresent, 1, &match);
      return 0;
    case IBV_FLOW_SPEC_IPV4:
      if (const int error = layer<ib_uverbs_flow_spec_ipv4>(bytes, size, &match)) return error;
      require(&FlowFields::ipVersion, 4, &match);
      return 0;
    case IBV_FLOW_SPEC_IPV6:
      if (const int error = layer<ib_uverbs_flow_spec_ipv6>(bytes, size, &match)) return error;
      require(&FlowFields::ipVersion, 6, &match);
      return 0;
    case IBV_FLOW_SPEC_TCP:
    case IBV_FLOW_SPEC_UDP:
      if (const int error = layer<ib_uverbs_flow_spec_tcp_udp>(bytes, size, &match)) return error;
      require(&FlowFields::protocol, (type & 0x4f) == IBV_FLOW_SPEC_TCP ? 6 : 17, &match);
      return 0;
    case IBV_FLOW_SPEC_VXLAN_TUNNEL: {
      if (inner) return EINVAL;
      if (const int error = layer<ib_uverbs_flow_spec_tunnel>(bytes, size, &match)) return error;
      // VXLAN is UDP to port 4789 (RFC 7348): mlx5's flow table of IBV_FLOW_SPEC_VXLAN_TUNNEL asks for it, too.
      require(&FlowFields::protocol, 17, &match);
      match.value.destinationPort = 4789;
      match.mask.destinationPort = 0xffff;
      return 0;
    }
    case IBV_FLOW_SPEC_ACTION_TAG: {
      ib_uverbs_flow_spec_action_tag tag;
      if (inner || rule->tagged || size != sizeof tag) return EINVAL;
      memcpy(&tag, bytes, sizeof tag);
      if (tag.tag_id > 0xffffff) return EINVAL;
      rule->tagged = true;
      rule->tag = tag.tag_id;
      return 0;
    }
    case IBV_FLOW_SPEC_ACTION_DROP:
      if (inner || size != sizeof(ib_uverbs_flow_spec_action_drop)) return EINVAL;
      rule->drop = true;
      return 0;
    default: return EOPNOTSUPP;  // GRE, MPLS, ESP, actions and counters
  }
}

int createFlow(VerbsFile& file, const Command& command) {
  ib_uverbs_create_flow request;
  if (const int error = command.request(&request)) return error;
  const ib_uverbs_flow_attr& attributes = request.flow_attr;
  const auto pair = file.queuePairs.find(request.qp_handle);
  if (!pair || pair->type != QueuePairType::rawPacket || request.comp_mask) return EINVAL;
  if (attributes.type > IBV_FLOW_ATTR_SNIFFER || attributes.port < 1 ||
      attributes.port > file.device->identity.ports.size()) {
    return EINVAL;
  }
  constexpr uint32_t kFlags = IBV_FLOW_ATTR_FLAGS_DONT_TRAP | IBV_FLOW_ATTR_FLAGS_EGRESS;
  if (attributes.flags & ~kFlags) return EINVAL;
  const size_t size = attributes.size;
  if (size > command.tailSize(sizeof request)) return EINVAL;
  FlowRule rule;
  rule.port = attributes.port;
  rule.type = static_cast<FlowType>(attributes.type);
  rule.priority = attributes.priority;
  rule.dontTrap = attributes.flags & IBV_FLOW_ATTR_FLAGS_DONT_TRAP;
  rule.egress = attributes.flags & IBV_FLOW_ATTR_FLAGS_EGRESS;
  const uint8_t* at = command.tail(sizeof request);
  size_t left = size;
  for (unsigned i = 0; i < attributes.num_of_specs; i++) {
    ib_uverbs_flow_spec_hdr header;
    if (left < sizeof header) return EINVAL;
    memcpy(&header, at, sizeof header);
    if (header.size < sizeof header || header.size > left || header.reserved) return EINVAL;
    if (const int error = parse(header.type, at, header.size, &rule)) return error;
    at += header.size;
    left -= header.size;
  }
  if (left != 0) return EINVAL;
  rule.qpn = rule.drop ? 0 : pair->qpn;
  auto flow = std::make_shared<Flow>();
  Place place = file.flows.reserve();
  if (!place) return ENOMEM;
  if (const int error = file.nic().createFlow(rule, &flow->number)) return error;
  ib_uverbs_create_flow_resp response{};
  response.flow_handle = file.flows.add(flow, place);
  const int error = command.respond(response);
  if (error) {
    file.nic().destroyFlow(flow->number);
    file.flows.remove(response.flow_handle);
  }
  return error;
}

int destroyFlow(VerbsFile& file, const Command& command) {
  ib_uverbs_destroy_flow request;
  if (const int error = command.request(&request)) return error;
  const auto flow = file.flows.find(request.flow_handle);
  if (request.comp_mask) return EINVAL;
  if (!flow) return ENOENT;
  if (const int error = file.nic().destroyFlow(flow->number)) return error;
  file.flows.remove(request.flow_handle);
  return 0;
}

}  // namespace

const std::vector<CommandEntry> flowCommands{
    {IB_USER_VERBS_EX_CMD_CREATE_FLOW, true, createFlow},
    {IB_USER_VERBS_EX_CMD_DESTROY_FLOW, true, destroyFlow},
};

}  // namespace soft::uverbs

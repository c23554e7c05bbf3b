#include "wire/kernel_filter.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "nic/bytes.h"
#include "nic/packet.h"

namespace soft {

namespace {

constexpr char kChain[] = "taken";

// Where a comparison finds its bytes.
enum class Layer : uint8_t { link, network, transport, etherType, protocol };

// These bytes of a frame, under a mask.
struct Comparison {
  Layer layer;
  uint32_t offset, length;
  std::array<uint8_t, 16> value, mask;
  bool equal = true;
};

class Comparisons {
 public:
  void add(Layer layer, uint32_t offset, const uint8_t* value, const uint8_t* mask, uint32_t length) {
    if (std::all_of(mask, mask + length, [](uint8_t byte) { return byte == 0; })) return;
    Comparison comparison{layer, offset, length, {}, {}};
    for (uint32_t i = 0; i < length; ++i) comparison.value[i] = value[i] & mask[i];
    std::copy_n(mask, length, comparison.mask.begin());
    list.push_back(comparison);
  }
  void add8(Layer layer, uint32_t offset, uint8_t value, uint8_t mask) { add(layer, offset, &value, &mask, 1); }
  void add16(Layer layer, uint32_t offset, uint16_t value, uint16_t mask) {
    uint8_t bytes[2], bits[2];
    store16(bytes, value);
    store16(bits, mask);
    add(layer, offset, bytes, bits, 2);
  }
  void add32(Layer layer, uint32_t offset, uint32_t value, uint32_t mask) {
    uint8_t bytes[4], bits[4];
    store32(bytes, value);
    store32(bits, mask);
    add(layer, offset, bytes, bits, 4);
  }

  std::vector<Comparison> list;
};

// Where the headers of an IP packet lie. Inside a tunnel all is counted from the outer transport header, as if the
// inner headers had neither tags nor options: nf_tables knows of an inner packet only since Linux 6.2.
struct Headers {
  Layer network, transport;
  uint32_t networkAt, transportAt;
};

void compareIp(const FlowMatch& match, const Headers& headers, Comparisons* to) {
  const FlowFields &value = match.value, &mask = match.mask;
  const uint32_t ip = headers.networkAt;
  // Specifications of verbs that look at an IP header say which (uverbs/flow_commands.cc).
  if (mask.ipVersion != 0 && value.ipVersion == 4) {
    to->add8(headers.network, ip + 1, value.trafficClass, mask.trafficClass);
    to->add8(headers.network, ip + 8, value.hopLimit, mask.hopLimit);
    to->add8(headers.network, ip + 6, static_cast<uint8_t>(value.ipFlags << 5),
             static_cast<uint8_t>(mask.ipFlags << 5));
    to->add(headers.network, ip + 12, value.sourceIp.data(), mask.sourceIp.data(), 4);
    to->add(headers.network, ip + 16, value.destinationIp.data(), mask.destinationIp.data(), 4);
  } else if (mask.ipVersion != 0) {
    to->add32(headers.network, ip, uint32_t{value.trafficClass} << 20 | value.flowLabel,
              uint32_t{mask.trafficClass} << 20 | mask.flowLabel);
    to->add8(headers.network, ip + 7, value.hopLimit, mask.hopLimit);
    to->add(headers.network, ip + 8, value.sourceIp.data(), mask.sourceIp.data(), 16);
    to->add(headers.network, ip + 24, value.destinationIp.data(), mask.destinationIp.data(), 16);
  }
  const uint32_t l4 = headers.transportAt;
  to->add16(headers.transport, l4, value.sourcePort, mask.sourcePort);
  to->add16(headers.transport, l4 + 2, value.destinationPort, mask.destinationPort);
  to->add8(headers.transport, l4 + 13, value.tcpFlags, mask.tcpFlags);
}

uint16_t etherTypeOf(const FlowMatch& match) { return match.value.ipVersion == 4 ? kEtherTypeIpv4 : kEtherTypeIpv6; }

void compareInner(const FlowMatch& match, Comparisons* to) {
  const FlowFields &value = match.value, &mask = match.mask;
  constexpr uint32_t kEthernet = 16;  // behind the headers of UDP and VXLAN
  constexpr uint32_t kIp = kEthernet + 14;
  const Layer base = Layer::transport;
  to->add(base, kEthernet, value.destinationMac.data(), mask.destinationMac.data(), 6);
  to->add(base, kEthernet + 6, value.sourceMac.data(), mask.sourceMac.data(), 6);
  to->add16(base, kEthernet + 12, value.etherType, mask.etherType);
  if (mask.ipVersion == 0) return;
  const bool v4 = value.ipVersion == 4;
  to->add16(base, kEthernet + 12, etherTypeOf(match), 0xffff);
  if (v4) to->add8(base, kIp, 0x45, 0xff);  // no options
  to->add8(base, kIp + (v4 ? 9 : 6), value.protocol, mask.protocol);
  compareIp(match, {base, base, kIp, kIp + (v4 ? 20 : 40)}, to);
}

bool looks(const FlowFields& mask) {
  FlowKey key;
  packFields(mask, &key);
  return std::any_of(key.words, key.words + FlowKey::kWords, [](uint64_t word) { return word != 0; });
}

// `tag`: the EtherType of the tag that the frame must have, where it must have one.
std::vector<Comparison> comparisonsOf(const FlowMatch& outer, const FlowMatch& inner, uint16_t tag) {
  Comparisons result;
  const FlowFields &value = outer.value, &mask = outer.mask;
  result.add(Layer::link, 0, value.destinationMac.data(), mask.destinationMac.data(), 6);
  result.add(Layer::link, 6, value.sourceMac.data(), mask.sourceMac.data(), 6);
  // nf_tables sees the tag where it was, although the kernel took it out (nft_payload.c: nft_payload_copy_vlan).
  if (tag != 0) {
    result.add16(Layer::link, 12, tag, 0xffff);
    result.add16(Layer::link, 14, value.vlanTag, mask.vlanTag);
  } else if (mask.vlanPresent != 0) {
    for (const uint16_t type : {kEtherTypeVlan, kEtherTypeSvlan}) {
      result.add16(Layer::link, 12, type, 0xffff);
      result.list.back().equal = false;
    }
  }
  // What the kernel took out is one tag: behind two, the EtherType is the second's, and the frame goes to both.
  result.add16(Layer::etherType, 0, value.etherType, mask.etherType);
  if (mask.ipVersion != 0) result.add16(Layer::etherType, 0, etherTypeOf(outer), 0xffff);
  result.add8(Layer::protocol, 0, value.protocol, mask.protocol);
  compareIp(outer, {Layer::network, Layer::transport, 0, 0}, &result);
  const uint32_t tunnel = mask.tunnelId & 0xffffff;
  if (tunnel != 0 || looks(inner.mask)) {
    result.add8(Layer::protocol, 0, kProtocolUdp, 0xff);
    result.add16(Layer::transport, 2, kPortVxlan, 0xffff);
    result.add32(Layer::transport, 12, value.tunnelId << 8, tunnel << 8);
    compareInner(inner, &result);
  }
  return result.list;
}

// One element of a rule's list of expressions: begins it, and closes it when it goes.
class Expression {
 public:
  Expression(NetlinkSocket& to, const char* name) : to_(to), element_(to.nest(NFTA_LIST_ELEM)) {
    to.put(NFTA_EXPR_NAME, std::string(name));
    data_ = to.nest(NFTA_EXPR_DATA);
  }
  ~Expression() {
    to_.close(data_);
    to_.close(element_);
  }
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  void put(uint16_t attribute, uint32_t value) { to_.putBig32(attribute, value); }
  void put(uint16_t attribute, const uint8_t* bytes, size_t length) {
    const size_t data = to_.nest(attribute);
    to_.put(NFTA_DATA_VALUE, bytes, length);
    to_.close(data);
  }

 private:
  NetlinkSocket& to_;
  size_t element_, data_;
};

void load(NetlinkSocket& to, const Comparison& comparison) {
  if (comparison.layer == Layer::etherType || comparison.layer == Layer::protocol) {
    Expression meta(to, "meta");
    meta.put(NFTA_META_KEY, comparison.layer == Layer::etherType ? NFT_META_PROTOCOL : NFT_META_L4PROTO);
    meta.put(NFTA_META_DREG, NFT_REG_1);
    return;
  }
  Expression payload(to, "payload");
  payload.put(NFTA_PAYLOAD_DREG, NFT_REG_1);
  payload.put(NFTA_PAYLOAD_BASE, comparison.layer == Layer::link      ? NFT_PAYLOAD_LL_HEADER
                                 : comparison.layer == Layer::network ? NFT_PAYLOAD_NETWORK_HEADER
                                                                      : NFT_PAYLOAD_TRANSPORT_HEADER);
  payload.put(NFTA_PAYLOAD_OFFSET, comparison.offset);
  payload.put(NFTA_PAYLOAD_LEN, comparison.length);
}

void compare(NetlinkSocket& to, const Comparison& comparison) {
  load(to, comparison);
  const uint32_t length = comparison.length;
  const auto end = comparison.mask.begin() + length;
  if (std::any_of(comparison.mask.begin(), end, [](uint8_t byte) { return byte != 0xff; })) {
    Expression mask(to, "bitwise");
    mask.put(NFTA_BITWISE_SREG, NFT_REG_1);
    mask.put(NFTA_BITWISE_DREG, NFT_REG_1);
    mask.put(NFTA_BITWISE_LEN, length);
    mask.put(NFTA_BITWISE_MASK, comparison.mask.data(), length);
    const uint8_t nothing[16] = {};
    mask.put(NFTA_BITWISE_XOR, nothing, length);
  }
  Expression equal(to, "cmp");
  equal.put(NFTA_CMP_SREG, NFT_REG_1);
  equal.put(NFTA_CMP_OP, comparison.equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
  equal.put(NFTA_CMP_DATA, comparison.value.data(), length);
}

void drop(NetlinkSocket& to) {
  const size_t element = to.nest(NFTA_LIST_ELEM);
  to.put(NFTA_EXPR_NAME, std::string("immediate"));
  const size_t expression = to.nest(NFTA_EXPR_DATA);
  to.putBig32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  const size_t data = to.nest(NFTA_IMMEDIATE_DATA);
  const size_t verdict = to.nest(NFTA_DATA_VERDICT);
  to.putBig32(NFTA_VERDICT_CODE, NF_DROP);
  to.close(verdict);
  to.close(data);
  to.close(expression);
  to.close(element);
}

nfgenmsg family(uint8_t which, uint16_t resource = 0) { return {which, NFNETLINK_V0, htons(resource)}; }

uint64_t handleOf(const nlmsghdr& message) {
  uint64_t handle = 0;
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(nfgenmsg))) return handle;
  const auto* from = static_cast<const uint8_t*>(NLMSG_DATA(&message)) + NLMSG_ALIGN(sizeof(nfgenmsg));
  netlinkAttributes(from, message.nlmsg_len - NLMSG_LENGTH(sizeof(nfgenmsg)),
                    [&](uint16_t type, const uint8_t* data, size_t length) {
                      if (type == NFTA_RULE_HANDLE && length == sizeof handle) handle = load64(data);
                    });
  return handle;
}

}  // namespace

// Messages of nf_tables are one transaction from begin to end (nfnetlink.c: nfnetlink_rcv_batch).
void KernelFilter::begin() {
  socket_.begin(NFNL_MSG_BATCH_BEGIN, 0);
  socket_.fixed(family(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void KernelFilter::message(uint16_t type, uint16_t flags) {
  socket_.begin(NFNL_SUBSYS_NFTABLES << 8 | type, flags | NLM_F_ACK);
  socket_.fixed(family(NFPROTO_NETDEV));
}

int KernelFilter::commit(const std::function<void(const nlmsghdr&)>& answer) {
  socket_.begin(NFNL_MSG_BATCH_END, 0);
  socket_.fixed(family(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
  return socket_.exchange(answer);
}

int KernelFilter::makeTable() {
  char name[IF_NAMESIZE];
  if (if_indextoname(static_cast<unsigned>(index_), name) == nullptr) return errno;
  if (!socket_.isOpen()) {
    if (const int error = socket_.open(NETLINK_NETFILTER)) return error;
  }
  table_ = "ibverbs_soft_" + std::to_string(socket_.port());
  begin();
  message(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
  socket_.put(NFTA_TABLE_NAME, table_);
  socket_.putBig32(NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
  message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  socket_.put(NFTA_CHAIN_TABLE, table_);
  socket_.put(NFTA_CHAIN_NAME, std::string(kChain));
  const size_t hook = socket_.nest(NFTA_CHAIN_HOOK);
  socket_.putBig32(NFTA_HOOK_HOOKNUM, NF_NETDEV_INGRESS);
  socket_.putBig32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(INT_MIN));  // before every other table, as a card is
  socket_.put(NFTA_HOOK_DEV, std::string(name));
  socket_.close(hook);
  socket_.putBig32(NFTA_CHAIN_POLICY, NF_ACCEPT);
  socket_.put(NFTA_CHAIN_TYPE, std::string("filter"));
  const int error = commit();
  if (error != 0) table_.clear();
  return error;
}

int KernelFilter::keep(uint32_t number, const FlowMatch& outer, const FlowMatch& inner) {
  if (table_.empty()) {
    if (const int error = makeTable()) return error;
  }
  const bool tagged = outer.mask.vlanPresent != 0 ? outer.value.vlanPresent != 0 : outer.mask.vlanTag != 0;
  const std::vector<uint16_t> tags =
      tagged ? std::vector<uint16_t>{kEtherTypeVlan, kEtherTypeSvlan} : std::vector<uint16_t>{0};
  begin();
  for (const uint16_t tag : tags) {
    message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ECHO);
    socket_.put(NFTA_RULE_TABLE, table_);
    socket_.put(NFTA_RULE_CHAIN, std::string(kChain));
    const size_t expressions = socket_.nest(NFTA_RULE_EXPRESSIONS);
    for (const Comparison& comparison : comparisonsOf(outer, inner, tag)) compare(socket_, comparison);
    drop(socket_);
    socket_.close(expressions);
  }
  // The kernel names each rule in its echo.
  std::vector<uint64_t> handles;
  const int error = commit([&](const nlmsghdr& echo) {
    if (echo.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE)) handles.push_back(handleOf(echo));
  });
  if (error == 0) handles_[number] = std::move(handles);
  return error;
}

void KernelFilter::giveBack(uint32_t number) {
  const auto found = handles_.find(number);
  if (found == handles_.end()) return;
  begin();
  const bool last = handles_.size() == 1;
  if (last) {
    message(NFT_MSG_DELTABLE, 0);
    socket_.put(NFTA_TABLE_NAME, table_);
  } else {
    for (const uint64_t handle : found->second) {
      message(NFT_MSG_DELRULE, 0);
      socket_.put(NFTA_RULE_TABLE, table_);
      socket_.put(NFTA_RULE_CHAIN, std::string(kChain));
      const uint64_t big = htobe64(handle);
      socket_.put(NFTA_RULE_HANDLE, &big, sizeof big);
    }
  }
  commit();  // it fails where the interface is gone, and its chain with it
  handles_.erase(found);
  if (last) table_.clear();
}

}  // namespace soft

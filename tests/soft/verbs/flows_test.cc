// Flow rules of raw packet queue pairs, as programs other than ours write them.
#include "verbs.h"

namespace {

struct RawQp : Qp {
  explicit RawQp(Device& device) : Qp(device, IBV_QPT_RAW_PACKET) {
    ibv_qp_attr attributes{};
    attributes.port_num = 1;
    for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
      attributes.qp_state = state;
      EQUAL(ibv_modify_qp(qp, &attributes, IBV_QP_STATE | (state == IBV_QPS_INIT ? IBV_QP_PORT : 0)), 0);
    }
  }
};

// A frame of 64 bytes to this IPv4 address, in network byte order.
Bytes frameTo(uint32_t address) {
  Bytes frame(64);
  frame[12] = 0x08;
  frame[14] = 0x45;
  frame[17] = 50;
  frame[22] = 64;
  frame[23] = 17;
  std::memcpy(&frame[30], &address, 4);
  return frame;
}

}  // namespace

TEST(a_specification_of_ipv4_may_have_the_addresses_alone) {
  Device device;
  if (device.rxe) return;  // no raw packet queue pairs
  RawQp pair(device);
  // ibv_create_flow(3): the specifications follow the attributes.
  struct {
    ibv_flow_attr attributes;
    ibv_flow_spec_eth ethernet;
    ibv_flow_spec_ipv4 ipv4;
  } __attribute__((packed)) rule{};
  static_assert(sizeof rule.ipv4 == 24, "the plain one, without protocol, TOS, TTL and flags");
  const uint32_t wanted = __builtin_bswap32(0x0a000007), other = __builtin_bswap32(0x0a000008);
  rule.attributes = {0, IBV_FLOW_ATTR_NORMAL, sizeof rule, 0, 2, 1, 0};
  rule.ethernet = {IBV_FLOW_SPEC_ETH, sizeof rule.ethernet, {}, {}};
  rule.ipv4 = {IBV_FLOW_SPEC_IPV4, sizeof rule.ipv4, {0, wanted}, {0, 0xffffffff}};
  ibv_flow* flow = ibv_create_flow(pair.qp, &rule.attributes);
  CHECK(flow != nullptr);
  EQUAL(pair.receive({device.sge(4096, 2048)}, 1), 0);
  for (const uint32_t address : {other, wanted}) {
    ibv_send_wr wr{};
    wr.opcode = IBV_WR_SEND;
    EQUAL(pair.post(wr, {device.put(frameTo(address))}), 0);
    EQUAL(pair.sends.wait().status, IBV_WC_SUCCESS);
  }
  EQUAL(pair.receives.wait().status, IBV_WC_SUCCESS);
  CHECK(device.bytes(4096, 64) == frameTo(wanted));
  EQUAL(ibv_destroy_flow(flow), 0);
}

// Information that no file of the kernel's can provide: the device's clock now, and the MAC address behind a GID.
#include "verbs.h"

namespace {

uint64_t now(const Device& device) {
  ibv_values_ex values{};
  values.comp_mask = IBV_VALUES_MASK_RAW_CLOCK;
  EQUAL(ibv_query_rt_values_ex(device.context, &values), 0);
  EQUAL(values.comp_mask, IBV_VALUES_MASK_RAW_CLOCK);
  EQUAL(values.raw_clock.tv_sec, 0);  // libmlx5 puts the whole count into the other
  return static_cast<uint64_t>(values.raw_clock.tv_nsec);
}

}  // namespace

TEST(the_clock_goes_on_whether_the_device_sleeps_or_not) {
  Device device;
  if (device.rxe) return;  // it has no clock
  uint64_t before = now(device);
  for (int round = 0; round < 20; ++round) {
    const uint64_t after = now(device);
    CHECK(after >= before);
    before = after;
  }
  Pair pair(device);
  EQUAL(pair.b.receive({device.sge(8192, 8)}), 0);
  EQUAL(pair.a.send({device.sge(0, 8)}), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  CHECK(now(device) > before);
  ibv_values_ex unknown{};
  unknown.comp_mask = 1 << 5;
  EQUAL(ibv_query_rt_values_ex(device.context, &unknown), EINVAL);
}

TEST(a_completion_is_stamped_between_two_looks_at_the_clock) {
  Device device;
  if (device.rxe) return;
  ibv_cq_init_attr_ex attributes{};
  attributes.cqe = 16;
  attributes.wc_flags = IBV_WC_EX_WITH_COMPLETION_TIMESTAMP;
  ibv_cq_ex* cq = ibv_create_cq_ex(device.context, &attributes);
  CHECK(cq != nullptr);
  Qp peer(device, IBV_QPT_UD);
  ibv_qp_init_attr init{};
  init.send_cq = init.recv_cq = ibv_cq_ex_to_cq(cq);
  init.cap = {4, 4, 1, 1, 0};
  init.qp_type = IBV_QPT_UD;
  ibv_qp* qp = ibv_create_qp(device.pd, &init);
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_INIT;
  change.port_num = 1;
  change.qkey = Qp::kQkey;
  EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY), 0);
  change.qp_state = IBV_QPS_RTR;
  EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE), 0);
  change.qp_state = IBV_QPS_RTS;
  EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE | IBV_QP_SQ_PSN), 0);
  ibv_ah_attr address = device.toItself();
  ibv_ah* ah = ibv_create_ah(device.pd, &address);
  ibv_sge sge = device.sge(0, 8);
  ibv_send_wr wr{}, *bad;
  wr.sg_list = &sge;
  wr.num_sge = 1;
  wr.opcode = IBV_WR_SEND;
  wr.send_flags = IBV_SEND_SIGNALED;
  wr.wr.ud = {ah, peer.qp->qp_num, Qp::kQkey};
  const auto stamp = [&] {
    EQUAL(ibv_post_send(qp, &wr, &bad), 0);
    ibv_poll_cq_attr poll{};
    while (ibv_start_poll(cq, &poll) != 0) continue;
    const uint64_t time = ibv_wc_read_completion_ts(cq);
    ibv_end_poll(cq);
    return time;
  };
  uint64_t before = now(device);
  stamp();
  const uint64_t second = stamp();
  CHECK(before <= second && second <= now(device));
  // Requests of one call, which the NIC finds in one step: each completion has a time of its own.
  ibv_send_wr list[4] = {wr, wr, wr, wr};
  for (int i = 0; i < 3; ++i) list[i].next = &list[i + 1];
  before = now(device);
  EQUAL(ibv_post_send(qp, list, &bad), 0);
  ibv_poll_cq_attr poll{};
  while (ibv_start_poll(cq, &poll) != 0) continue;
  for (int i = 0; i < 4; ++i) {
    const uint64_t time = ibv_wc_read_completion_ts(cq);
    CHECK(before < time);
    before = time;
    if (i < 3) {
      while (ibv_next_poll(cq) != 0) continue;
    }
  }
  ibv_end_poll(cq);
  CHECK(before <= now(device));
  EQUAL(ibv_destroy_ah(ah), 0);
  EQUAL(ibv_destroy_qp(qp), 0);
  EQUAL(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0);
}

TEST(the_mac_address_behind_a_gid_is_the_one_that_packets_go_to) {
  Device device;
  if (device.rxe) return;  // where libibverbs asks the kernel
  uint8_t mac[6] = {};
  uint16_t vlan = 0;
  ibv_ah_attr address = device.toItself();
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, &vlan), 0);
  const uint8_t* gid = address.grh.dgid.raw;  // EUI-64
  const uint8_t own[6] = {static_cast<uint8_t>(gid[8] ^ 2), gid[9], gid[10], gid[13], gid[14], gid[15]};
  BYTES(mac, own, 6);
  EQUAL(vlan, 0xffff);
  address.grh.sgid_index = 1;
  address.grh.dgid = device.gid(1);
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, nullptr), 0);
  BYTES(mac, own, 6);
  address.grh.dgid = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 239, 129, 2, 3}};
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, nullptr), 0);
  const uint8_t group[6] = {0x01, 0x00, 0x5e, 1, 2, 3};
  BYTES(mac, group, 6);
  address.grh.sgid_index = 0;
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, nullptr), -EINVAL);  // another family
  address.grh.dgid = {{0}};
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, nullptr), -EHOSTUNREACH);
  address.grh.sgid_index = 9;
  EQUAL(ibv_resolve_eth_l2_from_gid(device.context, &address, mac, nullptr), -EINVAL);
}

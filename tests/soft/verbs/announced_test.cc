// What ibv_query_device(3) announces holds: as much as it says works, and more is refused. For what has no test
// elsewhere (tests/soft/capabilities.test.ts says where each is).
#include "verbs.h"

namespace {

ibv_device_attr limits(const Device& device) {
  ibv_device_attr attributes{};
  EQUAL(ibv_query_device(device.context, &attributes), 0);
  return attributes;
}

ibv_qp* create(const Device& device, ibv_cq* cq, ibv_qp_cap capabilities) {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = cq;
  attributes.cap = capabilities;
  attributes.qp_type = IBV_QPT_RC;
  return ibv_create_qp(device.pd, &attributes);
}

}  // namespace

TEST(a_completion_queue_has_no_more_entries_than_announced) {
  Device device;
  const int most = limits(device).max_cqe;
  CHECK(ibv_create_cq(device.context, most + 1, nullptr, nullptr, 0) == nullptr);
  EQUAL(errno, EINVAL);
  // As many as a megabyte holds: the most take 256 of them.
  ibv_cq* cq = ibv_create_cq(device.context, (1 << 14) - 1, nullptr, nullptr, 0);
  CHECK(cq != nullptr && cq->cqe >= (1 << 14) - 1 && most >= cq->cqe);
  EQUAL(ibv_destroy_cq(cq), 0);
}

TEST(a_queue_pair_has_as_many_requests_and_elements_as_announced_and_no_more) {
  Device device;
  const ibv_device_attr most = limits(device);
  ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, nullptr, 0);
  const auto requests = static_cast<uint32_t>(most.max_qp_wr), elements = static_cast<uint32_t>(most.max_sge);
  ibv_qp* qp = create(device, cq, {1, requests, 1, 1, 0});
  CHECK(qp != nullptr);
  EQUAL(ibv_destroy_qp(qp), 0);
  CHECK(create(device, cq, {1, requests + 1, 1, 1, 0}) == nullptr);
  qp = create(device, cq, {1, 1, elements, elements, 0});
  CHECK(qp != nullptr);
  EQUAL(ibv_destroy_qp(qp), 0);
  // libmlx5 has its own largest (32 in a WQE's 512 bytes), never less.
  CHECK(create(device, cq, {1, 1, 1, 2 * elements, 0}) == nullptr);
  CHECK(create(device, cq, {1, 1, 4 * elements, 1, 0}) == nullptr);
  EQUAL(ibv_destroy_cq(cq), 0);
}

TEST(a_message_is_gathered_from_and_read_into_as_many_elements_as_announced) {
  Device device;
  const ibv_device_attr most = limits(device);
  const auto count = static_cast<size_t>(most.max_sge);
  EQUAL(most.max_sge_rd, most.max_sge);
  Pair pair(device, IBV_QPT_RC, nullptr, static_cast<uint32_t>(most.max_sge));
  // Eight bytes of every sixteen.
  const Bytes all = pattern(16 * count);
  device.put(all);
  std::vector<ibv_sge> from, into;
  for (size_t i = 0; i < count; ++i) {
    from.push_back(device.sge(16 * i, 8));
    into.push_back(device.sge(8192 + 16 * i, 8));
  }
  EQUAL(pair.b.receive(into), 0);
  EQUAL(pair.a.send(from), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  EQUAL(pair.b.receives.wait().byte_len, 8 * count);
  for (auto& element : into) element.addr += 8192;
  EQUAL(pair.a.post(Qp::request(IBV_WR_RDMA_READ, device.sge(0, 8).addr, device.mr->rkey), into), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  for (size_t i = 0; i < count; ++i) {
    CHECK(device.bytes(8192 + 16 * i, 8) == device.bytes(16 * i, 8));
    CHECK(device.bytes(16384 + 16 * i, 8) == device.bytes(8 * i, 8));
  }
}

TEST(as_many_reads_are_agreed_as_announced_and_no_more) {
  Device device;
  const ibv_device_attr most = limits(device);
  EQUAL(most.max_res_rd_atom, most.max_qp_rd_atom * most.max_qp);
  ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, nullptr, 0);
  for (const int beyond : {0, 1}) {
    ibv_qp* qp = create(device, cq, {1, 1, 1, 1, 0});
    ibv_qp_attr state{};
    state.qp_state = IBV_QPS_INIT;
    state.port_num = 1;
    EQUAL(ibv_modify_qp(qp, &state, IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS), 0);
    state.qp_state = IBV_QPS_RTR;
    state.path_mtu = IBV_MTU_1024;
    state.dest_qp_num = qp->qp_num;
    state.ah_attr = device.toItself();
    state.min_rnr_timer = 12;
    state.max_dest_rd_atomic = static_cast<uint8_t>(most.max_qp_rd_atom + beyond);
    const int toReceive = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                          IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
    EQUAL(ibv_modify_qp(qp, &state, toReceive), beyond ? EINVAL : 0);
    state.max_dest_rd_atomic = 1;
    if (beyond) EQUAL(ibv_modify_qp(qp, &state, toReceive), 0);
    state.qp_state = IBV_QPS_RTS;
    state.timeout = 14;
    state.retry_cnt = state.rnr_retry = 7;
    state.max_rd_atomic = static_cast<uint8_t>(most.max_qp_init_rd_atom + beyond);
    const int toSend =
        IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC;
    EQUAL(ibv_modify_qp(qp, &state, toSend), beyond ? EINVAL : 0);
    EQUAL(ibv_destroy_qp(qp), 0);
  }
  EQUAL(ibv_destroy_cq(cq), 0);
}

TEST(a_group_takes_as_many_queue_pairs_as_announced_and_no_more) {
  Device device;
  const ibv_device_attr most = limits(device);
  EQUAL(most.max_total_mcast_qp_attach, most.max_mcast_grp * most.max_mcast_qp_attach);
  ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, nullptr, 0);
  ibv_gid group{};
  group.raw[0] = 0xff;
  group.raw[1] = 0x0e;
  std::vector<ibv_qp*> members;
  for (int i = 0; i <= most.max_mcast_qp_attach; ++i) {
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = cq;
    attributes.cap = {1, 1, 1, 1, 0};
    attributes.qp_type = IBV_QPT_UD;
    members.push_back(ibv_create_qp(device.pd, &attributes));
    CHECK(members.back() != nullptr);
    EQUAL(ibv_attach_mcast(members.back(), &group, 0), i < most.max_mcast_qp_attach ? 0 : ENOMEM);
  }
  // The first is in every group there may be.
  for (int i = 1; i <= most.max_mcast_grp; ++i) {
    group.raw[14] = static_cast<uint8_t>(i >> 8);
    group.raw[15] = static_cast<uint8_t>(i);
    EQUAL(ibv_attach_mcast(members.front(), &group, 0), i < most.max_mcast_grp ? 0 : ENOMEM);
  }
  for (ibv_qp* qp : members) {
    for (int i = 0; i <= most.max_mcast_grp; ++i) {
      group.raw[14] = static_cast<uint8_t>(i >> 8);
      group.raw[15] = static_cast<uint8_t>(i);
      if (i == 0 || qp == members.front()) ibv_detach_mcast(qp, &group, 0);
    }
    EQUAL(ibv_destroy_qp(qp), 0);
  }
  EQUAL(ibv_destroy_cq(cq), 0);
}

TEST(a_shared_receive_queue_has_as_many_requests_as_announced_and_no_more) {
  Device device;
  ibv_srq_init_attr attributes{};
  attributes.attr = {static_cast<uint32_t>(limits(device).max_srq_wr), 1, 0};
  ibv_srq* srq = ibv_create_srq(device.pd, &attributes);
  CHECK(srq != nullptr);
  EQUAL(ibv_destroy_srq(srq), 0);
  attributes.attr = {static_cast<uint32_t>(limits(device).max_srq_wr) + 1, 1, 0};
  CHECK(ibv_create_srq(device.pd, &attributes) == nullptr);
}

TEST(a_port_has_the_gids_and_partition_keys_that_it_announces) {
  Device device;
  ibv_port_attr port{};
  EQUAL(ibv_query_port(device.context, 1, &port), 0);
  EQUAL(port.pkey_tbl_len, limits(device).max_pkeys);
  for (int i = 0; i <= port.gid_tbl_len; ++i) {
    ibv_gid gid;
    EQUAL(ibv_query_gid(device.context, 1, i, &gid), i < port.gid_tbl_len ? 0 : -1);
  }
  for (int i = 0; i <= port.pkey_tbl_len; ++i) {
    uint16_t key = 0;
    EQUAL(ibv_query_pkey(device.context, 1, i, &key), i < port.pkey_tbl_len ? 0 : -1);
    if (i < port.pkey_tbl_len) EQUAL(key, 0xffff);
  }
  EQUAL(ibv_query_port(device.context, static_cast<uint8_t>(limits(device).phys_port_cnt + 1), &port), EINVAL);
}

TEST(an_indirection_table_has_as_many_entries_as_announced_and_no_more) {
  Device device;
  ibv_device_attr_ex attributes{};
  EQUAL(ibv_query_device_ex(device.context, nullptr, &attributes), 0);
  uint32_t log = 0;
  while (1u << log < attributes.rss_caps.max_rwq_indirection_table_size) ++log;
  ibv_cq* cq = ibv_create_cq(device.context, 4, nullptr, nullptr, 0);
  ibv_wq_init_attr work{};
  work.wq_type = IBV_WQT_RQ;
  work.max_wr = work.max_sge = 1;
  work.pd = device.pd;
  work.cq = cq;
  ibv_wq* wq = ibv_create_wq(device.context, &work);
  for (const uint32_t beyond : {0u, 1u}) {
    std::vector<ibv_wq*> entries(size_t{1} << (log + beyond), wq);
    ibv_rwq_ind_table_init_attr table{log + beyond, entries.data(), 0};
    ibv_rwq_ind_table* made = ibv_create_rwq_ind_table(device.context, &table);
    CHECK((made != nullptr) == (beyond == 0));
    if (made != nullptr) EQUAL(ibv_destroy_rwq_ind_table(made), 0);
  }
  EQUAL(ibv_destroy_wq(wq), 0);
  EQUAL(ibv_destroy_cq(cq), 0);
}

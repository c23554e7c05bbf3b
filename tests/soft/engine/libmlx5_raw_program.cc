// Raw Ethernet with the unmodified libibverbs and libmlx5: how they write to the rings, and read CQEs.
#include <poll.h>

#include "libmlx5_device.h"

namespace {

struct RawQp {
  RawQp(Device& device, uint64_t wcFlags = 0, uint32_t createFlags = 0, uint16_t tsoHeader = 0, uint32_t cqes = 64)
      : device(device) {
    ibv_cq_init_attr_ex cqAttributes{};
    cqAttributes.cqe = cqes;
    cqAttributes.wc_flags = IBV_WC_STANDARD_FLAGS | wcFlags;
    channel = ibv_create_comp_channel(device.context);
    CHECK(channel != nullptr);
    cqAttributes.channel = channel;
    cqEx = ibv_create_cq_ex(device.context, &cqAttributes);
    CHECK(cqEx != nullptr);
    cq = ibv_cq_ex_to_cq(cqEx);
    ibv_qp_init_attr_ex attributes{};
    attributes.send_cq = attributes.recv_cq = cq;
    attributes.cap = {32, 32, 4, 4, 128};
    attributes.qp_type = IBV_QPT_RAW_PACKET;
    attributes.pd = device.pd;
    attributes.comp_mask = IBV_QP_INIT_ATTR_PD;
    if (createFlags != 0) {
      attributes.comp_mask |= IBV_QP_INIT_ATTR_CREATE_FLAGS;
      attributes.create_flags = createFlags;
    }
    if (tsoHeader != 0) {
      attributes.comp_mask |= IBV_QP_INIT_ATTR_MAX_TSO_HEADER;
      attributes.max_tso_header = tsoHeader;
    }
    qp = ibv_create_qp_ex(device.context, &attributes);
    CHECK(qp != nullptr);
    ibv_qp_attr change{};
    change.port_num = 1;
    change.qp_state = IBV_QPS_INIT;
    EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE | IBV_QP_PORT), 0);
    change.qp_state = IBV_QPS_RTR;
    EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE), 0);
    change.qp_state = IBV_QPS_RTS;
    EQUAL(ibv_modify_qp(qp, &change, IBV_QP_STATE), 0);
  }
  ~RawQp() {
    for (ibv_flow* flow : flows) EQUAL(ibv_destroy_flow(flow), 0);
    EQUAL(ibv_destroy_qp(qp), 0);
    EQUAL(ibv_destroy_cq(cq), 0);
    EQUAL(ibv_destroy_comp_channel(channel), 0);
  }
  // Steers every frame of this port to the queue.
  void everything() {
    ibv_flow_attr attributes{};
    attributes.type = IBV_FLOW_ATTR_ALL_DEFAULT;
    attributes.size = sizeof attributes;
    attributes.port = 1;
    addFlow(&attributes);
  }
  void addFlow(ibv_flow_attr* attributes) {
    ibv_flow* flow = ibv_create_flow(qp, attributes);
    CHECK(flow != nullptr);
    flows.push_back(flow);
  }
  void receive(size_t slot, size_t length = 2048) {
    ibv_sge sge = device.sge(Device::slot(slot), length);
    ibv_recv_wr wr{}, *bad;
    wr.wr_id = 1000 + slot;
    wr.sg_list = &sge;
    wr.num_sge = 1;
    EQUAL(ibv_post_recv(qp, &wr, &bad), 0);
  }
  int send(std::vector<ibv_sge> sges, unsigned flags = IBV_SEND_SIGNALED, uint64_t id = 1) {
    ibv_send_wr wr{}, *bad;
    wr.wr_id = id;
    wr.sg_list = sges.data();
    wr.num_sge = static_cast<int>(sges.size());
    wr.opcode = IBV_WR_SEND;
    wr.send_flags = flags;
    return ibv_post_send(qp, &wr, &bad);
  }
  // The next completion; sleeps on the channel, so that arming and events are part of every test.
  ibv_wc wait() {
    ibv_wc wc{};
    for (;;) {
      int count = ibv_poll_cq(cq, 1, &wc);
      if (count == 0) {
        EQUAL(ibv_req_notify_cq(cq, 0), 0);
        count = ibv_poll_cq(cq, 1, &wc);
      }
      EQUAL(count < 0, false);
      if (count == 1) return wc;
      sleepOnChannel();
    }
  }
  void sleepOnChannel() {
    pollfd waiting{channel->fd, POLLIN, 0};
    if (poll(&waiting, 1, 10000) != 1) failAt(__FILE__, __LINE__, "no completion came");
    ibv_cq* which;
    void* context;
    EQUAL(ibv_get_cq_event(channel, &which, &context), 0);
    ibv_ack_cq_events(which, 1);
  }
  // Waits for one send completion and `frames` receive completions, in any order; returns the latter.
  std::vector<ibv_wc> exchange(size_t frames) {
    std::vector<ibv_wc> received;
    int sent = 0;
    while (sent == 0 || received.size() < frames) {
      const ibv_wc wc = wait();
      EQUAL(wc.status, IBV_WC_SUCCESS);
      if (wc.wr_id >= 1000) received.push_back(wc);
      else ++sent;
    }
    EQUAL(sent, 1);
    return received;
  }
  Bytes frame(const ibv_wc& wc) const {
    const uint8_t* at = device.memory + Device::slot(wc.wr_id - 1000);
    return Bytes(at, at + wc.byte_len);
  }

  Device& device;
  ibv_comp_channel* channel = nullptr;
  ibv_cq_ex* cqEx = nullptr;
  ibv_cq* cq = nullptr;
  ibv_qp* qp = nullptr;
  std::vector<ibv_flow*> flows;
};

}  // namespace

TEST(frames_by_pointer_by_many_pointers_and_inline) {
  Device device;
  RawQp qp(device);
  qp.everything();
  for (const size_t size : {60, 128, 1500}) {
    const Bytes frame = ethernet(0x88b5, pattern(size - 14));
    const ibv_sge whole = device.put(frame);
    std::vector<std::vector<ibv_sge>> cases{{whole}, {device.sge(0, 20), device.sge(20, 1), device.sge(21, size - 21)}};
    for (auto& sges : cases) {
      qp.receive(0);
      EQUAL(qp.send(sges), 0);
      CHECK(qp.frame(qp.exchange(1)[0]) == frame);
    }
    if (size > 128) continue;
    qp.receive(0);
    EQUAL(qp.send({whole}, IBV_SEND_SIGNALED | IBV_SEND_INLINE), 0);
    CHECK(qp.frame(qp.exchange(1)[0]) == frame);
  }
}

TEST(a_thousand_frames_go_round_both_rings) {
  Device device;
  RawQp qp(device);
  qp.everything();
  const ibv_sge frame = device.put(ethernet(0x88b5, pattern(50)));
  for (size_t i = 0; i < 16; ++i) qp.receive(i);
  for (size_t i = 0; i < 1000; ++i) {
    EQUAL(qp.send({frame}, IBV_SEND_SIGNALED, i % 999), 0);
    const ibv_wc wc = qp.exchange(1)[0];
    EQUAL(wc.wr_id, 1000 + i % 16);
    qp.receive(i % 16);
  }
}

TEST(checksums_are_computed_and_their_status_arrives) {
  Device device;
  RawQp qp(device);
  qp.everything();
  const Bytes payload = pattern(77);
  const Bytes bad = ethernet(0x0800, ipv4(17, udp(1, 2, payload, 0xdead)));
  const Bytes good =
      ethernet(0x0800, ipv4(17, udp(1, 2, payload, l4Sum(17, kFrom, kTo, udp(1, 2, payload))), kFrom, kTo, true));
  qp.receive(0);
  EQUAL(qp.send({device.put(bad)}, IBV_SEND_SIGNALED | IBV_SEND_IP_CSUM), 0);
  ibv_wc wc = qp.exchange(1)[0];
  CHECK(qp.frame(wc) == good);
  EQUAL(wc.wc_flags & IBV_WC_IP_CSUM_OK, IBV_WC_IP_CSUM_OK);
  qp.receive(0);
  EQUAL(qp.send({device.put(bad)}), 0);
  wc = qp.exchange(1)[0];
  CHECK(qp.frame(wc) == bad);
  EQUAL(wc.wc_flags & IBV_WC_IP_CSUM_OK, 0);
}

TEST(libmlx5_writes_a_tso_wqe_that_becomes_segments) {
  Device device;
  RawQp qp(device, 0, 0, 128);
  qp.everything();
  for (size_t i = 0; i < 4; ++i) qp.receive(i);
  const Bytes payload = pattern(3100);
  Bytes header = ethernet(0x0800, ipv4(6, tcp(80, 90, 1000, 0x18, {})));
  ibv_sge sge = device.put(payload);
  ibv_send_wr wr{}, *bad;
  wr.wr_id = 1;
  wr.sg_list = &sge;
  wr.num_sge = 1;
  wr.opcode = IBV_WR_TSO;
  wr.send_flags = IBV_SEND_SIGNALED | IBV_SEND_IP_CSUM;
  wr.tso.hdr = header.data();
  wr.tso.hdr_sz = static_cast<uint16_t>(header.size());
  wr.tso.mss = 1000;
  EQUAL(ibv_post_send(qp.qp, &wr, &bad), 0);
  Bytes together;
  for (const ibv_wc& wc : qp.exchange(4)) {
    EQUAL(wc.wc_flags & IBV_WC_IP_CSUM_OK, IBV_WC_IP_CSUM_OK);
    const Bytes frame = qp.frame(wc);
    EQUAL(soft::load32(frame.data() + 38), 1000 + together.size());
    together.insert(together.end(), frame.begin() + 54, frame.end());
  }
  CHECK(together == payload);
}

TEST(vlan_stripping_flow_tags_and_timestamps_are_read_from_the_cqe) {
  Device device;
  RawQp qp(device, IBV_WC_EX_WITH_CVLAN | IBV_WC_EX_WITH_FLOW_TAG | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP,
           IBV_QP_CREATE_CVLAN_STRIPPING);
  struct {
    ibv_flow_attr attributes;
    ibv_flow_spec_eth eth;
    ibv_flow_spec_action_tag tag;
  } flow{};
  flow.attributes.type = IBV_FLOW_ATTR_NORMAL;
  flow.attributes.size = sizeof flow;
  flow.attributes.num_of_specs = 2;
  flow.attributes.port = 1;
  flow.eth.type = IBV_FLOW_SPEC_ETH;
  flow.eth.size = sizeof flow.eth;
  const Bytes mac{2, 0, 0, 0, 0, 1};
  std::copy(mac.begin(), mac.end(), flow.eth.val.dst_mac);
  std::fill_n(flow.eth.mask.dst_mac, 6, 0xff);
  flow.tag.type = IBV_FLOW_SPEC_ACTION_TAG;
  flow.tag.size = sizeof flow.tag;
  flow.tag.tag_id = 0x123456;
  qp.addFlow(&flow.attributes);
  qp.receive(0);
  EQUAL(qp.send({device.put(tagged(0x2345, 0x88b5, pattern(60)))}, 0), 0);
  ibv_poll_cq_attr attributes{};
  EQUAL(ibv_req_notify_cq(qp.cq, 0), 0);
  qp.sleepOnChannel();
  EQUAL(ibv_start_poll(qp.cqEx, &attributes), 0);
  EQUAL(qp.cqEx->status, IBV_WC_SUCCESS);
  EQUAL(qp.cqEx->wr_id, 1000);
  EQUAL(ibv_wc_read_byte_len(qp.cqEx), 74);
  EQUAL(ibv_wc_read_cvlan(qp.cqEx), 0x2345);
  EQUAL(ibv_wc_read_flow_tag(qp.cqEx), 0x123456);
  CHECK(ibv_wc_read_completion_ts(qp.cqEx) != 0);
  ibv_end_poll(qp.cqEx);
  BYTES(device.memory + Device::slot(0), ethernet(0x88b5, pattern(60)).data(), 74);
}

TEST(a_bad_key_is_a_protection_error_and_the_send_queue_stops) {
  Device device;
  RawQp qp(device);
  qp.everything();
  ibv_sge sge = device.put(ethernet(0x88b5, pattern(50)));
  ibv_sge bad = sge;
  bad.lkey ^= 0x5500;
  EQUAL(qp.send({bad}, 0, 7), 0);
  EQUAL(qp.send({sge}, 0, 8), 0);
  ibv_wc wc = qp.wait();
  EQUAL(wc.status, IBV_WC_LOC_PROT_ERR);
  EQUAL(wc.wr_id, 7);
  EQUAL(wc.vendor_err, 0x51);
  wc = qp.wait();
  EQUAL(wc.status, IBV_WC_WR_FLUSH_ERR);
  EQUAL(wc.wr_id, 8);
  ibv_qp_attr attributes{};
  ibv_qp_init_attr initial{};
  EQUAL(ibv_query_qp(qp.qp, &attributes, IBV_QP_STATE, &initial), 0);
  EQUAL(attributes.qp_state, IBV_QPS_SQE);
  attributes.qp_state = IBV_QPS_RTS;
  EQUAL(ibv_modify_qp(qp.qp, &attributes, IBV_QP_STATE), 0);
  qp.receive(0);
  EQUAL(qp.send({sge}), 0);
  EQUAL(qp.exchange(1).size(), 1);
}

TEST(a_completion_queue_is_resized_with_entries_in_it) {
  Device device;
  RawQp qp(device);
  qp.everything();
  const ibv_sge frame = device.put(ethernet(0x88b5, pattern(50)));
  for (size_t i = 0; i < 8; ++i) qp.receive(i);
  EQUAL(ibv_req_notify_cq(qp.cq, 0), 0);
  for (size_t i = 0; i < 8; ++i) EQUAL(qp.send({frame}, i == 7 ? IBV_SEND_SIGNALED : 0), 0);
  qp.sleepOnChannel();
  EQUAL(ibv_resize_cq(qp.cq, 500), 0);
  CHECK(qp.cq->cqe >= 500);
  EQUAL(qp.exchange(8).size(), 8);
  for (size_t round = 0; round < 1000; ++round) {
    qp.receive(round % 8);
    EQUAL(qp.send({frame}), 0);
    EQUAL(qp.exchange(1).size(), 1);
  }
  EQUAL(ibv_resize_cq(qp.cq, 70), 0);
  qp.receive(0);
  EQUAL(qp.send({frame}), 0);
  EQUAL(qp.exchange(1).size(), 1);
}

TEST(receive_side_scaling_through_work_queues) {
  Device device;
  RawQp sender(device);
  ibv_cq* cqs[2];
  ibv_wq* wqs[2];
  for (size_t i = 0; i < 2; ++i) {
    cqs[i] = ibv_create_cq(device.context, 64, nullptr, nullptr, 0);
    CHECK(cqs[i] != nullptr);
    ibv_wq_init_attr attributes{};
    attributes.wq_type = IBV_WQT_RQ;
    attributes.max_wr = 16;
    attributes.max_sge = 1;
    attributes.pd = device.pd;
    attributes.cq = cqs[i];
    wqs[i] = ibv_create_wq(device.context, &attributes);
    CHECK(wqs[i] != nullptr);
    ibv_wq_attr change{};
    change.attr_mask = IBV_WQ_ATTR_STATE;
    change.wq_state = IBV_WQS_RDY;
    EQUAL(ibv_modify_wq(wqs[i], &change), 0);
    for (size_t k = 0; k < 8; ++k) {
      ibv_sge sge = device.sge(Device::slot(i * 8 + k), 2048);
      ibv_recv_wr wr{}, *bad;
      wr.wr_id = 1000 + i * 8 + k;
      wr.sg_list = &sge;
      wr.num_sge = 1;
      EQUAL(ibv_post_wq_recv(wqs[i], &wr, &bad), 0);
    }
  }
  ibv_rwq_ind_table_init_attr tableAttributes{};
  tableAttributes.log_ind_tbl_size = 1;
  tableAttributes.ind_tbl = wqs;
  ibv_rwq_ind_table* table = ibv_create_rwq_ind_table(device.context, &tableAttributes);
  CHECK(table != nullptr);
  Bytes key{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
            0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  ibv_qp_init_attr_ex attributes{};
  attributes.qp_type = IBV_QPT_RAW_PACKET;
  attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_IND_TABLE | IBV_QP_INIT_ATTR_RX_HASH;
  attributes.pd = device.pd;
  attributes.rwq_ind_tbl = table;
  attributes.rx_hash_conf = {IBV_RX_HASH_FUNC_TOEPLITZ, 40, key.data(), IBV_RX_HASH_SRC_IPV4 | IBV_RX_HASH_DST_IPV4};
  ibv_qp* rss = ibv_create_qp_ex(device.context, &attributes);
  CHECK(rss != nullptr);
  ibv_flow_attr flowAttributes{};
  flowAttributes.type = IBV_FLOW_ATTR_ALL_DEFAULT;
  flowAttributes.size = sizeof flowAttributes;
  flowAttributes.port = 1;
  ibv_flow* flow = ibv_create_flow(rss, &flowAttributes);
  CHECK(flow != nullptr);
  // The published hashes without ports: 0x323e8fc2 is even, 0xd718262a too, 0x82989176 even, 0x5d1809c5 odd.
  const struct {
    Bytes from, to;
    size_t queue;
  } packets[] = {{{66, 9, 149, 187}, {161, 142, 100, 80}, 0}, {{153, 39, 163, 191}, {202, 188, 127, 2}, 1}};
  for (const auto& packet : packets) {
    EQUAL(sender.send({device.put(ethernet(0x0800, ipv4(17, udp(1, 2, pattern(30)), packet.from, packet.to)))}), 0);
    EQUAL(sender.exchange(0).size(), 0);
    ibv_wc wc{};
    int count = 0;
    while ((count = ibv_poll_cq(cqs[packet.queue], 1, &wc)) == 0) continue;
    EQUAL(count, 1);
    EQUAL(wc.status, IBV_WC_SUCCESS);
    EQUAL((wc.wr_id - 1000) / 8, packet.queue);
    EQUAL(ibv_poll_cq(cqs[1 - packet.queue], 1, &wc), 0);
  }
  EQUAL(ibv_destroy_flow(flow), 0);
  EQUAL(ibv_destroy_qp(rss), 0);
  EQUAL(ibv_destroy_rwq_ind_table(table), 0);
  for (size_t i = 0; i < 2; ++i) {
    EQUAL(ibv_destroy_wq(wqs[i]), 0);
    EQUAL(ibv_destroy_cq(cqs[i]), 0);
  }
}

TEST(an_overrun_raises_the_events_of_the_completion_queue_and_the_queue_pair) {
  Device device;
  RawQp qp(device, 0, 0, 0, 7);
  const ibv_sge frame = device.put(ethernet(0x88b5, pattern(50)));
  const int room = qp.cq->cqe + 1;
  CHECK(room < 32);
  for (int i = 0; i <= room; ++i) EQUAL(qp.send({frame}), 0);
  int seen = 0;
  for (int i = 0; i < 2; ++i) {
    ibv_async_event event;
    EQUAL(ibv_get_async_event(device.context, &event), 0);
    if (event.event_type == IBV_EVENT_CQ_ERR && event.element.cq == qp.cq) seen |= 1;
    if (event.event_type == IBV_EVENT_QP_FATAL && event.element.qp == qp.qp) seen |= 2;
    ibv_ack_async_event(&event);
  }
  EQUAL(seen, 3);
}

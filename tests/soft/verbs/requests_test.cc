// Requests that cannot be carried out as posted: their completions, and the bytes written.
#include "verbs.h"

namespace {

// libibverbs' newer posting API, which leaves the lengths of an atomic's elements to the caller. libmlx5's
// ibv_post_send writes 8 for each of them, whatever the request holds (providers/mlx5/qp.c, set_data_ptr_seg_atomic).
struct AtomicPair {
  explicit AtomicPair(Device& device) : device(device), sends(device), b(device, IBV_QPT_RC) {
    ibv_qp_init_attr_ex attributes{};
    attributes.send_cq = attributes.recv_cq = sends.cq;
    attributes.cap = {16, 16, 4, 4, 0};
    attributes.qp_type = IBV_QPT_RC;
    attributes.pd = device.pd;
    attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
    attributes.send_ops_flags = IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD;
    a.device = &device;
    a.qp = ibv_create_qp_ex(device.context, &attributes);
    CHECK(a.qp != nullptr);
  }
  ~AtomicPair() { EQUAL(ibv_destroy_qp(a.qp), 0); }
  void connect() {
    ibv_qp_attr change{};
    const auto modify = [&](int mask) { EQUAL(ibv_modify_qp(a.qp, &change, mask | IBV_QP_STATE), 0); };
    change.qp_state = IBV_QPS_RESET;
    modify(0);
    change.qp_state = IBV_QPS_INIT;
    change.port_num = 1;
    modify(IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    change.qp_state = IBV_QPS_RTR;
    change.path_mtu = IBV_MTU_1024;
    change.dest_qp_num = b.qp->qp_num;
    change.min_rnr_timer = 12;
    change.ah_attr = device.toItself();
    modify(IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
           IBV_QP_MIN_RNR_TIMER);
    change.qp_state = IBV_QPS_RTS;
    change.timeout = 12;
    change.retry_cnt = change.rnr_retry = 6;
    change.max_rd_atomic = 1;
    modify(IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
    EQUAL(b.to(IBV_QPS_RESET), 0);
    b.init();
    EQUAL(b.toRtr(a.qp->qp_num, device.toItself()), 0);
    b.toRts();
  }
  // Adds `add` to the word at 4096; the status.
  int fetchAndAdd(std::vector<ibv_sge> sges, uint64_t add) {
    ibv_qp_ex* ex = ibv_qp_to_qp_ex(a.qp);
    ibv_wr_start(ex);
    ex->wr_id = 1;
    ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_atomic_fetch_add(ex, device.mr->rkey, reinterpret_cast<uint64_t>(device.memory) + 4096, add);
    ibv_wr_set_sge_list(ex, sges.size(), sges.data());
    EQUAL(ibv_wr_complete(ex), 0);
    return sends.wait().status;
  }

  Device& device;
  Cq sends;
  Qp b;
  struct {
    Device* device;
    ibv_qp* qp;
  } a{};
};

const Bytes kUntouched(24, 0xee);

}  // namespace

TEST(the_8_bytes_of_an_atomic_fill_its_elements_in_order) {
  Device device;
  if (device.rxe) return;  // ibv_wr_set_sge_list of its provider is broken up to rdma-core 44.11
  AtomicPair pair(device);
  uint64_t* word = reinterpret_cast<uint64_t*>(device.memory + 4096);
  const uint64_t value = 0x1122334455667788;
  const Bytes old{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
  const struct {
    std::vector<size_t> lengths;
    int status;
    std::vector<size_t> written;  // how much of the 8 bytes each element gets; the elements are 8 bytes apart
  } cases[] = {
      {{4, 4}, IBV_WC_SUCCESS, {4, 4}},       {{8}, IBV_WC_SUCCESS, {8}},
      {{1, 7}, IBV_WC_SUCCESS, {1, 7}},       {{3, 8}, IBV_WC_SUCCESS, {3, 5}},
      {{4, 2, 4}, IBV_WC_SUCCESS, {4, 2, 2}}, {{8, 8}, IBV_WC_SUCCESS, {8, 0}},  // longer is fine
      {{4}, IBV_WC_LOC_LEN_ERR, {0}},         {{4, 3}, IBV_WC_LOC_LEN_ERR, {0, 0}},
  };
  for (const auto& each : cases) {
    pair.connect();
    *word = value;
    device.put(kUntouched, 0);
    std::vector<ibv_sge> sges;
    for (size_t i = 0; i < each.lengths.size(); ++i) sges.push_back(device.sge(i * 8, each.lengths[i]));
    EQUAL(pair.fetchAndAdd(sges, 1), each.status);
    EQUAL(*word, each.status == IBV_WC_SUCCESS ? value + 1 : value);
    Bytes expected = kUntouched;
    for (size_t i = 0, done = 0; i < each.written.size(); done += each.written[i++]) {
      std::copy_n(old.begin() + static_cast<long>(done), each.written[i], expected.begin() + static_cast<long>(i * 8));
    }
    BYTES(device.memory, expected.data(), expected.size());
  }
}

TEST(a_read_into_an_inline_element_is_an_operation_error) {
  Device device;
  Qp a(device, IBV_QPT_RC), b(device, IBV_QPT_RC);
  a.connect(b);
  b.connect(a);
  ibv_send_wr wr = Qp::request(IBV_WR_RDMA_READ, reinterpret_cast<uint64_t>(device.memory), device.mr->rkey);
  wr.send_flags = IBV_SEND_INLINE;
  EQUAL(a.post(wr, {device.sge(64, 8)}), 0);
  if (device.rxe) return;  // which sends the request and puts the response nowhere
  EQUAL(a.sends.wait().status, IBV_WC_LOC_QP_OP_ERR);
}

TEST(a_datagrams_completion_says_under_which_ip_header_it_came) {
  Device device;
  if (device.rxe) return;                                        // whose completions hold a service level there
  for (const auto& [index, kind] : {std::pair{0, 1}, {1, 2}}) {  // fe80::…: IPv6; ::ffff:…: IPv4
    Qp a(device, IBV_QPT_UD), b(device, IBV_QPT_UD);
    a.connect(b);
    b.connect(a);
    ibv_ah_attr address = device.toItself();
    address.grh.dgid = device.gid(index);
    address.grh.sgid_index = static_cast<uint8_t>(index);
    ibv_ah* ah = ibv_create_ah(device.pd, &address);
    CHECK(ah != nullptr);
    EQUAL(b.receive({device.sge(4096, 128)}), 0);
    ibv_send_wr wr{};
    wr.opcode = IBV_WR_SEND;
    wr.wr.ud = {ah, b.qp->qp_num, Qp::kQkey};
    EQUAL(a.post(wr, {device.sge(0, 8)}), 0);
    EQUAL(a.sends.wait().status, IBV_WC_SUCCESS);
    const ibv_wc wc = b.receives.wait();
    EQUAL(wc.status, IBV_WC_SUCCESS);
    EQUAL(wc.sl, kind);  // where libmlx5 puts these bits of the entry
    EQUAL(ibv_destroy_ah(ah), 0);
  }
}

TEST(a_datagram_that_is_too_long_is_dropped_and_the_receive_waits_for_another) {
  Device device;
  Qp a(device, IBV_QPT_UD), b(device, IBV_QPT_UD);
  a.connect(b);
  b.connect(a);
  ibv_ah_attr address = device.toItself();
  ibv_ah* ah = ibv_create_ah(device.pd, &address);
  CHECK(ah != nullptr);
  const auto send = [&](size_t length) {
    ibv_send_wr wr{};
    wr.opcode = IBV_WR_SEND;
    wr.wr.ud = {ah, b.qp->qp_num, Qp::kQkey};
    device.put(pattern(length, static_cast<uint8_t>(length)));
    EQUAL(a.post(wr, {device.sge(0, length)}), 0);
    EQUAL(a.sends.wait().status, IBV_WC_SUCCESS);
  };
  std::fill(device.memory + 4096, device.memory + 4096 + 256, 0xee);
  EQUAL(b.receive({device.sge(4096, 40 + 10)}, 7), 0);
  EQUAL(b.receive({device.sge(8192, 40 + 99)}, 8), 0);
  send(11);
  if (device.rxe) {  // rxe of Linux 6.1 ends the queue pair
    EQUAL(b.receives.wait().status, IBV_WC_LOC_QP_OP_ERR);
  } else {
    EQUAL(b.state(), IBV_QPS_RTS);
    send(10);  // after it: when this request has completed, that one is done too
    ibv_wc wc = b.receives.wait();
    EQUAL(wc.status, IBV_WC_SUCCESS);
    EQUAL(wc.wr_id, 7);
    EQUAL(wc.byte_len, 50);
    CHECK(device.bytes(4096 + 40, 10) == pattern(10, 10));
    EQUAL(device.memory[4096 + 50], 0xee);
    send(99);
    wc = b.receives.wait();
    EQUAL(wc.wr_id, 8);
    EQUAL(wc.byte_len, 139);
    b.receives.empty();
    EQUAL(b.state(), IBV_QPS_RTS);
  }
  EQUAL(ibv_destroy_ah(ah), 0);
}

TEST(a_write_with_immediate_and_a_bad_key_completes_the_receive) {
  Device device;
  Pair pair(device);
  EQUAL(pair.b.receive({device.sge(8192, 64)}, 7), 0);
  EQUAL(pair.b.receive({device.sge(8192, 64)}, 8), 0);
  ibv_send_wr wr = Qp::request(IBV_WR_RDMA_WRITE_WITH_IMM, reinterpret_cast<uint64_t>(device.memory) + 4096,
                               device.mr->rkey ^ 0x5500);
  EQUAL(pair.a.post(wr, {device.sge(0, 8)}), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_REM_ACCESS_ERR);
  ibv_wc wc = pair.b.receives.wait();
  EQUAL(wc.wr_id, 7);
  EQUAL(wc.status, device.rxe ? IBV_WC_REM_ACCESS_ERR : IBV_WC_LOC_ACCESS_ERR);
  wc = pair.b.receives.wait();
  EQUAL(wc.wr_id, 8);
  EQUAL(wc.status, IBV_WC_WR_FLUSH_ERR);
  EQUAL(pair.b.state(), IBV_QPS_ERR);
  CHECK(!hasAsyncEvent(device.context));  // the completion has reported it
}

TEST(a_send_that_invalidates_what_it_cannot_gets_no_answer) {
  Device device;
  Pair pair(device);
  EQUAL(pair.b.receive({device.sge(8192, 64)}, 7), 0);
  EQUAL(pair.b.receive({device.sge(8192, 64)}, 8), 0);
  ibv_send_wr wr{};
  wr.opcode = IBV_WR_SEND_WITH_INV;
  wr.invalidate_rkey = device.mr->rkey;  // a region's key, no window's
  EQUAL(pair.a.post(wr, {device.sge(0, 8)}), 0);
  ibv_wc wc = pair.b.receives.wait();
  EQUAL(wc.wr_id, 7);
  EQUAL(wc.status, device.rxe ? IBV_WC_REM_INV_REQ_ERR : IBV_WC_LOC_ACCESS_ERR);
  EQUAL(pair.b.receives.wait().status, IBV_WC_WR_FLUSH_ERR);
  EQUAL(pair.a.sends.wait().status, device.rxe ? IBV_WC_SUCCESS : IBV_WC_RETRY_EXC_ERR);  // rxe acknowledges it
}

TEST(a_window_of_type_2_is_bound_by_its_index_whatever_the_low_byte_of_its_key) {
  Device device;
  if (device.rxe) return;  // rxe compares the whole key
  Pair pair(device);
  ibv_mw* mw = ibv_alloc_mw(device.pd, IBV_MW_TYPE_2);
  CHECK(mw != nullptr);
  const uint64_t address = reinterpret_cast<uint64_t>(device.memory) + 4096;
  const uint32_t first = mw->rkey;
  // The program leaves mw->rkey as it was, and later sets it to another value.
  uint32_t key = first;
  for (const uint32_t named : {first, first, first ^ 0x55}) {
    mw->rkey = named;
    key = ibv_inc_rkey(key);
    ibv_send_wr bind{};
    bind.opcode = IBV_WR_BIND_MW;
    bind.bind_mw.mw = mw;
    bind.bind_mw.rkey = key;
    bind.bind_mw.bind_info = {device.mr, address, 64, IBV_ACCESS_REMOTE_WRITE};
    EQUAL(pair.b.post(bind, {}), 0);
    EQUAL(pair.b.sends.wait().status, IBV_WC_SUCCESS);
    device.put(pattern(8, static_cast<uint8_t>(key)));
    EQUAL(pair.a.post(Qp::request(IBV_WR_RDMA_WRITE, address, key), {device.sge(0, 8)}), 0);
    EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
    CHECK(device.bytes(4096, 8) == pattern(8, static_cast<uint8_t>(key)));
    ibv_send_wr invalidate{};
    invalidate.opcode = IBV_WR_LOCAL_INV;
    invalidate.invalidate_rkey = key;
    EQUAL(pair.b.post(invalidate, {}), 0);
    EQUAL(pair.b.sends.wait().status, IBV_WC_SUCCESS);
  }
  // Another index is another window.
  ibv_send_wr bind{};
  bind.opcode = IBV_WR_BIND_MW;
  bind.bind_mw.mw = mw;
  bind.bind_mw.rkey = key;
  bind.bind_mw.bind_info = {device.mr, address, 64, IBV_ACCESS_REMOTE_WRITE};
  mw->rkey = first + 0x100;
  EQUAL(pair.b.post(bind, {}), 0);
  EQUAL(pair.b.sends.wait().status, IBV_WC_MW_BIND_ERR);
  mw->rkey = first;
  EQUAL(ibv_dealloc_mw(mw), 0);
}

// ibv_req_notify_cq(3) with solicited_only: events for receives whose sender requested one, and for failures.
#include "verbs.h"

TEST(a_receive_raises_an_event_when_its_sender_solicited_one) {
  Device device;
  Pair pair(device);
  pair.b.receives.arm(true);
  for (uint64_t id = 100; id < 102; ++id) EQUAL(pair.b.receive({device.sge(8192, 64)}, id), 0);
  EQUAL(pair.a.send({device.sge(0, 8)}), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  EQUAL(pair.b.receives.wait().wr_id, 100);
  CHECK(!pair.b.receives.hasEvent());
  EQUAL(pair.a.send({device.sge(0, 8)}, IBV_SEND_SOLICITED), 0);
  pair.b.receives.event();
  const ibv_wc wc = pair.b.receives.wait();
  EQUAL(wc.status, IBV_WC_SUCCESS);
  EQUAL(wc.wr_id, 101);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
}

// rxe of Linux 6.1 raises no event for a failed send, nor for a receive that was too short.
TEST(a_send_that_fails_raises_an_event) {
  Device device;
  Pair pair(device);
  pair.a.sends.arm(true);
  ibv_sge bad = device.sge(0, 8);
  bad.lkey ^= 0x5500;
  EQUAL(pair.a.send({bad}), 0);
  if (!device.rxe) pair.a.sends.event();
  CHECK(pair.a.sends.wait().status != IBV_WC_SUCCESS);
}

TEST(what_is_flushed_raises_an_event) {
  Device device;
  Pair pair(device);
  EQUAL(pair.b.receive({device.sge(8192, 64)}), 0);
  pair.b.receives.arm(true);
  EQUAL(pair.b.to(IBV_QPS_ERR), 0);
  pair.b.receives.event();
  EQUAL(pair.b.receives.wait().status, IBV_WC_WR_FLUSH_ERR);
}

TEST(a_message_that_is_too_long_raises_an_event_on_both_sides) {
  Device device;
  Pair pair(device);
  EQUAL(pair.b.receive({device.sge(8192, 7)}), 0);
  pair.b.receives.arm(true);
  pair.a.sends.arm(true);
  EQUAL(pair.a.send({device.sge(0, 8)}), 0);
  if (!device.rxe) pair.b.receives.event();
  EQUAL(pair.b.receives.wait().status, device.rxe ? IBV_WC_LOC_QP_OP_ERR : IBV_WC_LOC_LEN_ERR);
  if (!device.rxe) pair.a.sends.event();
  EQUAL(pair.a.sends.wait().status, device.rxe ? IBV_WC_REM_OP_ERR : IBV_WC_REM_INV_REQ_ERR);
}

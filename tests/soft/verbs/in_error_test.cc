// A device flushes the requests posted to a queue pair in ERR, and a program that only polls sees them: only a record
// in memory announces a receive, so a sleeping device has to look by itself.
#include <unistd.h>

#include "verbs.h"

TEST(a_receive_that_is_posted_in_error_is_flushed_without_a_call) {
  Device device;
  if (device.rxe) return;  // rxe of Linux 6.1 does not look: the binding rings (tests/verbs/receive-in-error.test.ts)
  Pair pair(device);
  EQUAL(pair.b.to(IBV_QPS_ERR), 0);
  for (uint64_t id = 1; id < 4; ++id) {
    usleep(20000);  // long enough to fall asleep
    EQUAL(pair.b.receive({device.sge(0, 8)}, id), 0);
    const ibv_wc wc = pair.b.receives.wait();
    EQUAL(wc.wr_id, id);
    EQUAL(wc.status, IBV_WC_WR_FLUSH_ERR);
  }
  EQUAL(pair.b.to(IBV_QPS_RESET), 0);
  pair.b.init();
  EQUAL(pair.b.receive({device.sge(0, 8)}), 0);
  usleep(20000);
  pair.b.receives.empty();  // a normal one again
}

TEST(a_receive_that_is_posted_to_a_work_queue_in_error_is_flushed) {
  Device device;
  if (device.rxe) return;
  Cq cq(device);
  ibv_wq_init_attr attributes{};
  attributes.wq_type = IBV_WQT_RQ;
  attributes.max_wr = 4;
  attributes.max_sge = 1;
  attributes.pd = device.pd;
  attributes.cq = cq.cq;
  ibv_wq* wq = ibv_create_wq(device.context, &attributes);
  CHECK(wq != nullptr);
  ibv_wq_attr change{};
  change.attr_mask = IBV_WQ_ATTR_STATE;
  for (const ibv_wq_state state : {IBV_WQS_RDY, IBV_WQS_ERR}) {
    change.wq_state = state;
    EQUAL(ibv_modify_wq(wq, &change), 0);
  }
  usleep(20000);
  ibv_sge sge = device.sge(0, 8);
  ibv_recv_wr wr{5, nullptr, &sge, 1}, *bad;
  EQUAL(ibv_post_wq_recv(wq, &wr, &bad), 0);
  const ibv_wc wc = cq.wait();
  EQUAL(wc.wr_id, 5);
  EQUAL(wc.status, IBV_WC_WR_FLUSH_ERR);
  EQUAL(ibv_destroy_wq(wq), 0);
}

// A doorbell whose register keeps its old value: only the record, in memory, shows that there is new work.
#include <unistd.h>

#include "verbs.h"

TEST(a_queue_pair_that_was_reset_is_heard_though_its_first_request_is_the_same_word) {
  Device device;
  Pair pair(device);
  for (int round = 0; round < 30; ++round) {
    for (Qp* qp : {&pair.a, &pair.b}) EQUAL(qp->to(IBV_QPS_RESET), 0);
    pair.a.connect(pair.b);
    pair.b.connect(pair.a);
    if (round % 3 == 0) usleep(3000);  // now and then the NIC falls asleep
    ibv_send_wr wr = Qp::request(IBV_WR_RDMA_WRITE, reinterpret_cast<uint64_t>(device.memory) + 4096, device.mr->rkey);
    EQUAL(pair.a.post(wr, {device.put(pattern(8, static_cast<uint8_t>(round)))}), 0);
    EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
    CHECK(device.bytes(4096, 8) == pattern(8, static_cast<uint8_t>(round)));
  }
}

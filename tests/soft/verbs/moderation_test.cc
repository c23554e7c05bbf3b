// ibv_modify_cq(3): events for so many completions, or after so long, instead of one for each.
#include "verbs.h"

namespace {

int moderate(Cq& queue, uint16_t count, uint16_t period) {
  ibv_modify_cq_attr attributes{};
  attributes.attr_mask = IBV_CQ_ATTR_MODERATE;
  attributes.moderate = {count, period};
  return ibv_modify_cq(queue.cq, &attributes);
}

}  // namespace

// rxe has no modify_cq.
TEST(an_event_comes_for_so_many_completions) {
  Device device;
  if (device.rxe) return;
  Pair pair(device);
  EQUAL(moderate(pair.b.receives, 2, 0), 0);
  pair.b.receives.arm(false);
  for (uint64_t id = 100; id < 102; ++id) EQUAL(pair.b.receive({device.sge(8192, 64)}, id), 0);
  EQUAL(pair.a.send({device.sge(0, 8)}), 0);
  EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  EQUAL(pair.b.receives.wait().wr_id, 100);
  CHECK(!pair.b.receives.hasEvent());
  EQUAL(pair.a.send({device.sge(0, 8)}), 0);
  pair.b.receives.event();
  EQUAL(pair.b.receives.wait().wr_id, 101);
}

TEST(an_event_comes_after_so_long) {
  Device device;
  if (device.rxe) return;
  Pair pair(device);
  EQUAL(moderate(pair.b.receives, 1000, 200), 0);
  for (uint64_t id = 100; id < 103; ++id) {
    pair.b.receives.arm(false);
    EQUAL(pair.b.receive({device.sge(8192, 64)}, id), 0);
    EQUAL(pair.a.send({device.sge(0, 8)}), 0);
    pair.b.receives.event();
    EQUAL(pair.b.receives.wait().wr_id, id);
    EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  }
}

TEST(moderation_has_the_limits_that_the_device_tells) {
  Device device;
  if (device.rxe) return;
  Pair pair(device);
  ibv_device_attr_ex told{};
  EQUAL(ibv_query_device_ex(device.context, nullptr, &told), 0);
  EQUAL(told.cq_mod_caps.max_cq_count, 0xffff);
  EQUAL(told.cq_mod_caps.max_cq_period, 0xfff);
  EQUAL(moderate(pair.b.receives, 0xffff, 0xfff), 0);
  EQUAL(moderate(pair.b.receives, 1, 0x1000), EINVAL);
  ibv_modify_cq_attr attributes{};
  EQUAL(ibv_modify_cq(pair.b.receives.cq, &attributes), EINVAL);
  attributes.attr_mask = IBV_CQ_ATTR_MODERATE << 1;
  CHECK(ibv_modify_cq(pair.b.receives.cq, &attributes) != 0);
}

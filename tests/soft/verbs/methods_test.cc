// Methods that exist only as ioctls: a device that lacks them returns EOPNOTSUPP, and methods with a write() form work.
#include "verbs.h"

TEST(what_exists_only_as_an_ioctl_is_not_supported) {
  Device device;
  if (device.rxe) return;
  // First and last: after one refused method libibverbs still uses all others.
  for (int round = 0; round < 2; ++round) {
    ibv_counters_init_attr counters{};
    errno = 0;
    CHECK(ibv_create_counters(device.context, &counters) == nullptr);
    EQUAL(errno, EOPNOTSUPP);
    ibv_sge sge = device.sge(0, 4096);
    EQUAL(ibv_advise_mr(device.pd, IBV_ADVISE_MR_ADVICE_PREFETCH, 0, &sge, 1), EOPNOTSUPP);
    errno = 0;
    CHECK(ibv_reg_dmabuf_mr(device.pd, 0, 4096, 0, 0, IBV_ACCESS_LOCAL_WRITE) == nullptr);
    EQUAL(errno, EOPNOTSUPP);
    errno = 0;
    CHECK(ibv_import_mr(device.pd, device.mr->handle) == nullptr);
    EQUAL(errno, EOPNOTSUPP);
    ibv_gid_entry entry;
    EQUAL(ibv_query_gid_ex(device.context, 1, 0, &entry, 0), 0);  // from sysfs
    Pair pair(device);
    EQUAL(pair.b.receive({device.sge(8192, 64)}), 0);
    EQUAL(pair.a.send({device.sge(0, 8)}), 0);
    EQUAL(pair.a.sends.wait().status, IBV_WC_SUCCESS);
  }
}

// Idle queue pairs, rung by the unmodified libmlx5 while the NIC's own thread runs: behaviour that no hand-stepped test
// can show. Run by tests/soft/idle.test.ts with libibverbs_soft.so preloaded and IBVERBS_SOFT=loop; TURNS is the number
// of writes.
#include <dirent.h>
#include <infiniband/mlx5dv.h>
#include <infiniband/verbs.h>
#include <sched.h>

#include <fstream>
#include <map>

#include "rc_pair.h"

namespace {

constexpr int kPairs = 40, kDepth = 8;

// RC queue pairs, each connected to itself, with completion queues of their own.
struct Device {
  Device() {
    int count = 0;
    ibv_device** list = ibv_get_device_list(&count);
    CHECK(list != nullptr && count == 1);
    context = ibv_open_device(list[0]);
    CHECK(context != nullptr);
    ibv_free_device_list(list);
    domain = ibv_alloc_pd(context);
    region = ibv_reg_mr(domain, memory, sizeof memory, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    CHECK(region != nullptr);
    for (int i = 0; i < kPairs; ++i) {
      queues[i] = ibv_create_cq(context, 2 * kDepth, nullptr, nullptr, 0);
      ibv_qp_init_attr attributes{};
      attributes.send_cq = attributes.recv_cq = queues[i];
      attributes.qp_type = IBV_QPT_RC;
      attributes.cap = {kDepth, 1, 1, 1, 0};
      pairs[i] = ibv_create_qp(domain, &attributes);
      CHECK(pairs[i] != nullptr);
      ibv_qp_attr settings{};
      settings.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
      connect(pairs[i], pairs[i], settings);
    }
  }
  ~Device() {
    for (int i = 0; i < kPairs; ++i) {
      EQUAL(ibv_destroy_qp(pairs[i]), 0);
      EQUAL(ibv_destroy_cq(queues[i]), 0);
    }
    EQUAL(ibv_dereg_mr(region), 0);
    EQUAL(ibv_dealloc_pd(domain), 0);
    EQUAL(ibv_close_device(context), 0);
  }
  void write(int i) {
    ibv_sge sge{reinterpret_cast<uint64_t>(memory), 8, region->lkey};
    ibv_send_wr request{}, *bad;
    request.sg_list = &sge;
    request.num_sge = 1;
    request.opcode = IBV_WR_RDMA_WRITE;
    request.send_flags = IBV_SEND_SIGNALED;
    request.wr.rdma.remote_addr = reinterpret_cast<uint64_t>(memory) + 64;
    request.wr.rdma.rkey = region->rkey;
    EQUAL(ibv_post_send(pairs[i], &request, &bad), 0);
  }
  int poll(int i) {
    ibv_wc wc[kDepth];
    const int count = ibv_poll_cq(queues[i], kDepth, wc);
    for (int k = 0; k < count; ++k) EQUAL(wc[k].status, IBV_WC_SUCCESS);
    return count;
  }
  // Waits for `count` completions; returns how many came.
  int finish(int i, int count) {
    int done = 0;
    for (const uint64_t since = nanoseconds(); done < count;) {
      if (const int more = poll(i)) {
        done += more;
        continue;
      }
      sched_yield();
      if (nanoseconds() - since > 20'000'000'000) failAt(__FILE__, __LINE__, "a write was stranded");
    }
    return done;
  }
  // The register that a queue pair rings.
  void* reg(int i) const {
    mlx5dv_qp qp{};
    mlx5dv_obj object{};
    object.qp.in = pairs[i];
    object.qp.out = &qp;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_QP), 0);
    return qp.bf.reg;
  }
  // Two queue pairs that share a register.
  std::pair<int, int> sharing() const {
    std::map<void*, int> first;
    for (int i = 0; i < kPairs; ++i) {
      const auto [known, fresh] = first.emplace(reg(i), i);
      if (!fresh) return {known->second, i};
    }
    failAt(__FILE__, __LINE__, "no two queue pairs share a register");
    return {};
  }

  ibv_context* context = nullptr;
  ibv_pd* domain = nullptr;
  ibv_mr* region = nullptr;
  ibv_qp* pairs[kPairs] = {};
  ibv_cq* queues[kPairs] = {};
  alignas(64) uint8_t memory[4096] = {};
};

// The state letter of the NIC's thread: proc_pid_stat(5).
char threadState() {
  DIR* tasks = opendir("/proc/self/task");
  char state = '?';
  while (const dirent* task = readdir(tasks)) {
    std::ifstream stat(std::string("/proc/self/task/") + task->d_name + "/stat");
    std::string line;
    std::getline(stat, line);
    if (const size_t at = line.find("(soft-nic) "); at != std::string::npos) state = line[at + 11];
  }
  closedir(tasks);
  return state;
}

int turns() {
  const char* text = getenv("TURNS");
  return text != nullptr ? std::atoi(text) : 10000;
}

}  // namespace

TEST(two_queue_pairs_ring_one_register_by_turns) {
  Device device;
  const auto [a, b] = device.sharing();
  int outstanding[2] = {};
  for (int i = 0; i < turns(); ++i) {
    const int which = i & 1, pair = which == 0 ? a : b;
    if (outstanding[which] == kDepth) outstanding[which] -= device.finish(pair, 1);
    device.write(pair);
    ++outstanding[which];
  }
  device.finish(a, outstanding[0]);
  device.finish(b, outstanding[1]);
}

TEST(each_of_the_idle_ones_is_heard_alone) {
  Device device;
  for (int i = 0; i < turns() / 10; ++i) {
    device.write(i % kPairs);
    device.finish(i % kPairs, 1);
  }
}

TEST(two_rings_wake_a_nic_that_sleeps) {
  Device device;
  const auto [a, b] = device.sharing();
  for (int round = 0; round < 20; ++round) {
    while (threadState() != 'S') sched_yield();
    device.write(a);
    device.write(b);
    device.finish(b, 1);
    device.finish(a, 1);
  }
}

// Drivers of their own over the unmodified libmlx5, on a strict device with the NIC's own thread: a thread domain's
// queue pair, which posts, rings and arms by hand. Run by tests/soft/strict.test.ts with libibverbs_soft.so preloaded
// and IBVERBS_SOFT=loop?strict; TURNS is the number of rings.
#include <immintrin.h>
#include <infiniband/mlx5dv.h>
#include <infiniband/verbs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <ctime>
#include <thread>

#include "rc_pair.h"

namespace {

int turns() {
  const char* wanted = getenv("TURNS");
  return wanted != nullptr ? atoi(wanted) : 200;
}

// Milliseconds: WAIT, where none will come.
int wait() {
  const char* wanted = getenv("WAIT");
  return wanted != nullptr ? atoi(wanted) : 20'000;
}

constexpr int kDepth = 64;

// How a driver writes a register.
using Ring = void (*)(void* to, const void* wqe);
void eightBytes(void* to, const void* wqe) {
  uint64_t word;
  memcpy(&word, wqe, 8);
  *static_cast<volatile uint64_t*>(to) = word;
}
// BlueFlame, as libmlx5 on x86-64 (util/mmio.h) and others.
void copyOfWords(void* to, const void* wqe) {
  for (int i = 0; i < 8; ++i) static_cast<volatile uint64_t*>(to)[i] = static_cast<const uint64_t*>(wqe)[i];
}
#if defined(__x86_64__)
void copyOfVectors(void* to, const void* wqe) {
  for (int i = 0; i < 4; ++i) {
    const __m128i part = _mm_loadu_si128(static_cast<const __m128i*>(wqe) + i);
    asm volatile("movntdq %1, %0" : "=m"(static_cast<__m128i*>(to)[i]) : "x"(part));
  }
}
void copyOfString(void* to, const void* wqe) {
  size_t count = 8;
  asm volatile("rep movsq" : "+D"(to), "+S"(wqe), "+c"(count) : : "memory");
}
void exchange(void* to, const void* wqe) {
  uint64_t word;
  memcpy(&word, wqe, 8);
  __atomic_exchange_n(static_cast<uint64_t*>(to), word, __ATOMIC_SEQ_CST);
}
constexpr Ring kRings[] = {eightBytes, copyOfWords, copyOfVectors, copyOfString, exchange};
#else
constexpr Ring kRings[] = {eightBytes, copyOfWords};
#endif

// An RC queue pair that is connected to itself, of a thread domain; its rings are written by hand.
struct Pair {
  Pair(ibv_context* context, ibv_pd* domain, ibv_cq* queue) {
    ibv_td_init_attr none{};
    td = ibv_alloc_td(context, &none);
    CHECK(td != nullptr);
    ibv_parent_domain_init_attr parents{};
    parents.pd = domain;
    parents.td = td;
    parent = ibv_alloc_parent_domain(context, &parents);
    CHECK(parent != nullptr);
    ibv_qp_init_attr attributes{};
    attributes.send_cq = attributes.recv_cq = queue;
    attributes.qp_type = IBV_QPT_RC;
    attributes.cap = {kDepth, 1, 1, 1, 0};
    pair = ibv_create_qp(parent, &attributes);
    CHECK(pair != nullptr);
    ibv_qp_attr settings{};
    settings.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
    connect(pair, pair, settings);
    mlx5dv_obj object{};
    object.qp.in = pair;
    object.qp.out = &rings;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_QP), 0);
  }
  ~Pair() {
    EQUAL(ibv_destroy_qp(pair), 0);
    EQUAL(ibv_dealloc_pd(parent), 0);
    EQUAL(ibv_dealloc_td(td), 0);
  }

  // An RDMA write of 8 bytes into the ring: three segments of one block.
  void write(uint64_t from, uint64_t to, const ibv_mr* region) {
    uint8_t* wqe = static_cast<uint8_t*>(rings.sq.buf) + produced % rings.sq.wqe_cnt * size_t{rings.sq.stride};
    memset(wqe, 0, 64);
    mlx5dv_set_ctrl_seg(reinterpret_cast<mlx5_wqe_ctrl_seg*>(wqe), produced, MLX5_OPCODE_RDMA_WRITE, 0, pair->qp_num,
                        MLX5_WQE_CTRL_CQ_UPDATE, 3, 0, 0);
    auto* remote = reinterpret_cast<mlx5_wqe_raddr_seg*>(wqe + 16);
    remote->raddr = htobe64(to);
    remote->rkey = htobe32(region->rkey);
    mlx5dv_set_data_seg(reinterpret_cast<mlx5_wqe_data_seg*>(wqe + 32), 8, region->lkey, from);
    last = wqe;
    ++produced;
  }
  void record() {
    __atomic_store_n(&rings.dbrec[MLX5_SND_DBR], htobe32(produced), __ATOMIC_RELEASE);
    asm volatile("" ::: "memory");
  }
  void ring(Ring how = eightBytes) {
    how(static_cast<uint8_t*>(rings.bf.reg) + half, last);
    asm volatile("" ::: "memory");
    half ^= rings.bf.size;
  }

  ibv_td* td;
  ibv_pd* parent;
  ibv_qp* pair;
  mlx5dv_qp rings{};
  uint16_t produced = 0;
  uint8_t* last = nullptr;
  uint32_t half = 0;
};

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
    channel = ibv_create_comp_channel(context);
    queue = ibv_create_cq(context, 2 * kDepth, nullptr, channel, 0);
    CHECK(queue != nullptr);
  }
  ~Device() {
    EQUAL(ibv_destroy_cq(queue), 0);
    EQUAL(ibv_destroy_comp_channel(channel), 0);
    EQUAL(ibv_dereg_mr(region), 0);
    EQUAL(ibv_dealloc_pd(domain), 0);
    EQUAL(ibv_close_device(context), 0);
  }
  void write(Pair& pair) {
    pair.write(reinterpret_cast<uint64_t>(memory), reinterpret_cast<uint64_t>(memory) + 64, region);
  }
  // Waits for `count` completions of `status`.
  void finish(int count, ibv_wc_status status = IBV_WC_SUCCESS) {
    const uint64_t since = nanoseconds();
    while (count != 0) {
      ibv_wc wc;
      const int got = ibv_poll_cq(queue, 1, &wc);
      CHECK(got >= 0);
      if (got == 1) EQUAL(wc.status, status);
      count -= got;
      if (got == 0) sched_yield();
      if (nanoseconds() - since > 20'000'000'000) failAt(__FILE__, __LINE__, "a write was stranded");
    }
  }
  // The next asynchronous event; −1: none within the time.
  int event(int milliseconds, uint32_t* number) {
    pollfd watched{context->async_fd, POLLIN, 0};
    if (poll(&watched, 1, milliseconds) != 1) return -1;
    ibv_async_event event;
    EQUAL(ibv_get_async_event(context, &event), 0);
    *number = event.event_type == IBV_EVENT_QP_FATAL ? event.element.qp->qp_num : 0;
    const int type = event.event_type;
    ibv_ack_async_event(&event);
    return type;
  }
  void notified() {
    pollfd watched{channel->fd, POLLIN, 0};
    if (poll(&watched, 1, 20'000) != 1) failAt(__FILE__, __LINE__, "no event came");
    ibv_cq* which;
    void* cookie;
    EQUAL(ibv_get_cq_event(channel, &which, &cookie), 0);
    ibv_ack_cq_events(which, 1);
  }
  void quiet() {
    uint32_t number;
    EQUAL(event(0, &number), -1);
  }
  // Until the NIC, which has nothing to do, sleeps or looks on as often.
  static void pause() {
    timespec time{0, 300'000};
    nanosleep(&time, nullptr);
  }
  // MLX5_CQ_DOORBELL, as libmlx5's mlx5_arm_cq.
  void arm(uint32_t sequence, uint32_t index, bool recordFirst) {
    mlx5dv_cq rings{};
    mlx5dv_obj object{};
    object.cq.in = queue;
    object.cq.out = &rings;
    EQUAL(mlx5dv_init_obj(&object, MLX5DV_OBJ_CQ), 0);
    const uint32_t word = sequence << 28 | index;
    const uint64_t bell = htobe64(uint64_t{word} << 32 | rings.cqn);
    auto* reg = reinterpret_cast<volatile uint64_t*>(static_cast<uint8_t*>(rings.cq_uar) + 0x20);
    if (recordFirst) __atomic_store_n(&rings.dbrec[1], htobe32(word), __ATOMIC_SEQ_CST);
    *reg = bell;
    asm volatile("" ::: "memory");
    if (!recordFirst) __atomic_store_n(&rings.dbrec[1], htobe32(word), __ATOMIC_SEQ_CST);
  }

  ibv_context* context;
  ibv_pd* domain;
  ibv_mr* region;
  ibv_comp_channel* channel;
  ibv_cq* queue;
  alignas(4096) uint8_t memory[4096] = {};
};

void rings(Device& device, Pair& pair) {
  for (int turn = 0; turn < turns(); ++turn) {
    // One at a time, by turns to a NIC that is awake and to one that may sleep; then some without a pause.
    const int burst = turn % 4 == 3 ? 1 + turn / 4 % 9 : 1;
    for (int i = 0; i < burst; ++i) {
      device.write(pair);
      pair.record();
      pair.ring(kRings[turn / 8 % (sizeof kRings / sizeof *kRings)]);
    }
    device.finish(burst);
    if (turn % 8 == 0) Device::pause();
  }
  device.quiet();
}

}  // namespace

TEST(a_driver_that_is_right_is_left_alone) {
  Device device;
  Pair pair(device.context, device.domain, device.queue);
  CHECK(pair.rings.bf.size != 0);
  rings(device, pair);
}

TEST(a_thread_that_blocks_all_signals_is_served) {
  Device device;
  Pair pair(device.context, device.domain, device.queue);
  std::thread thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    rings(device, pair);
    // A ring of what was told is all that there is to ask it for.
    for (int i = 0; i < 20; ++i) pair.ring(copyOfWords);
  });
  thread.join();
  device.quiet();
  device.write(pair);
  pair.record();
  pair.ring();
  device.finish(1);
}

TEST(a_ring_that_tells_nothing_new_hurts_nobody) {
  Device device;
  Pair pair(device.context, device.domain, device.queue);
  for (int turn = 0; turn < turns(); ++turn) {
    device.write(pair);
    pair.record();
    for (int i = 0; i < 3; ++i) pair.ring(kRings[turn % (sizeof kRings / sizeof *kRings)]);
    device.finish(1);
    if (turn % 3 == 0) pair.ring();
  }
  device.quiet();
}

TEST(two_threads_ring_beside_each_other) {
  Device device;
  // Two registers of one page.
  Pair first(device.context, device.domain, device.queue), second(device.context, device.domain, device.queue);
  std::atomic<int> done{0};
  const auto run = [&](Pair& pair) {
    for (int turn = 0; turn < turns(); ++turn) {
      device.write(pair);
      pair.record();
      pair.ring();
      // Never more than the queue has room for.
      while (turn - done / 2 > kDepth / 4) sched_yield();
    }
  };
  std::thread one([&] { run(first); }), other([&] { run(second); });
  for (int i = 0; i < 2 * turns(); ++i, ++done) device.finish(1);
  one.join();
  other.join();
  device.quiet();
}

#if defined(__x86_64__)
TEST(a_register_before_its_record_is_fatal_every_time) {
  Device device;
  for (const Ring how : kRings) {
    for (int turn = 0; turn < 6; ++turn) {
      Pair pair(device.context, device.domain, device.queue);
      for (int right = 0; right < turn; ++right) {
        device.write(pair);
        pair.record();
        pair.ring(how);
        device.finish(1);
      }
      if (turn % 2 == 1) Device::pause();
      device.write(pair);
      pair.ring(how);
      pair.record();
      uint32_t number = 0;
      EQUAL(device.event(wait(), &number), IBV_EVENT_QP_FATAL);
      EQUAL(number, pair.pair->qp_num);
      device.finish(1, IBV_WC_WR_FLUSH_ERR);
      device.quiet();
    }
  }
}

TEST(an_arming_before_its_record_is_an_error_every_time) {
  for (int turn = 0; turn < 12; ++turn) {
    Device device;
    Pair pair(device.context, device.domain, device.queue);
    if (turn % 2 == 1) {
      device.arm(0, 0, true);
      device.write(pair);
      pair.record();
      pair.ring();
      device.notified();  // so the arming was seen
    }
    if (turn % 3 == 0) Device::pause();
    device.arm(1, 7, false);
    uint32_t number;
    EQUAL(device.event(wait(), &number), IBV_EVENT_CQ_ERR);
    device.quiet();
  }
}
#endif

TEST(a_record_that_no_register_tells_of_is_not_taken) {
  Device device;
  Pair pair(device.context, device.domain, device.queue), other(device.context, device.domain, device.queue);
  device.write(pair);
  pair.record();
  // The NIC has gone round, and slept.
  for (int i = 0; i < 5; ++i) {
    device.write(other);
    other.record();
    other.ring();
    device.finish(1);
    Device::pause();
  }
  ibv_wc wc;
  EQUAL(ibv_poll_cq(device.queue, 1, &wc), 0);
  pair.ring();
  device.finish(1);
  device.quiet();
}

TEST(libmlx5_posts_and_arms) {
  Device device;
  Pair pair(device.context, device.domain, device.queue);
  for (int turn = 0; turn < turns(); ++turn) {
    // Twice, as a program does that found nothing in between.
    EQUAL(ibv_req_notify_cq(device.queue, 0), 0);
    EQUAL(ibv_req_notify_cq(device.queue, 0), 0);
    ibv_sge sge{reinterpret_cast<uint64_t>(device.memory), 8, device.region->lkey};
    ibv_send_wr request{}, *bad;
    request.sg_list = &sge;
    request.num_sge = 1;
    request.opcode = IBV_WR_RDMA_WRITE;
    request.send_flags = IBV_SEND_SIGNALED;
    request.wr.rdma.remote_addr = reinterpret_cast<uint64_t>(device.memory) + 64;
    request.wr.rdma.rkey = device.region->rkey;
    EQUAL(ibv_post_send(pair.pair, &request, &bad), 0);
    device.notified();
    device.finish(1);
  }
  device.quiet();
}

// Memory that cannot be registered, and memory that disappears while the NIC's own thread uses it: the unmodified
// libibverbs and libmlx5. Run by tests/soft/memory.test.ts with libibverbs_soft.so preloaded and IBVERBS_SOFT=loop.
#include <infiniband/verbs.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>
#include <thread>

#include "rc_pair.h"

namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));
constexpr int kRead = IBV_ACCESS_REMOTE_READ, kWrite = IBV_ACCESS_LOCAL_WRITE,
              kAll = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;

uint8_t* pages(size_t count, int protection = PROT_READ | PROT_WRITE) {
  void* at = mmap(nullptr, count * kPage, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  return static_cast<uint8_t*>(at);
}

struct Device {
  Device() {
    ibv_device** list = ibv_get_device_list(nullptr);
    CHECK(list != nullptr && list[0] != nullptr);
    context = ibv_open_device(list[0]);
    CHECK(context != nullptr);
    ibv_free_device_list(list);
    domain = ibv_alloc_pd(context);
    queue = ibv_create_cq(context, 64, nullptr, nullptr, 0);
    CHECK(domain != nullptr && queue != nullptr);
  }
  // The errno of a registration; 0 when it succeeded, and then it is undone.
  int refusal(void* at, size_t length, int access) const {
    errno = 0;
    ibv_mr* region = ibv_reg_mr(domain, at, length, access);
    if (region == nullptr) return errno;
    EQUAL(ibv_dereg_mr(region), 0);
    return 0;
  }
  ibv_qp* create() const {
    ibv_qp_init_attr wanted{};
    wanted.send_cq = wanted.recv_cq = queue;
    wanted.qp_type = IBV_QPT_RC;
    wanted.cap = {8, 8, 1, 1, 0};
    ibv_qp* qp = ibv_create_qp(domain, &wanted);
    CHECK(qp != nullptr);
    return qp;
  }
  void connect(ibv_qp* qp, const ibv_qp* peer) const {
    ibv_qp_attr settings{};
    settings.qp_access_flags = kAll;
    settings.timeout = 14;
    settings.retry_cnt = 7;
    ::connect(qp, peer, settings);
  }
  // The status of one write or read of a page.
  int run(ibv_qp* qp, ibv_wr_opcode opcode, const ibv_mr* local, const ibv_mr* far) const {
    ibv_sge sge{reinterpret_cast<uint64_t>(local->addr), static_cast<uint32_t>(kPage), local->lkey};
    ibv_send_wr request{}, *bad;
    request.sg_list = &sge;
    request.num_sge = 1;
    request.opcode = opcode;
    request.send_flags = IBV_SEND_SIGNALED;
    request.wr.rdma.remote_addr = reinterpret_cast<uint64_t>(far->addr);
    request.wr.rdma.rkey = far->rkey;
    EQUAL(ibv_post_send(qp, &request, &bad), 0);
    ibv_wc wc{};
    for (const time_t since = time(nullptr); ibv_poll_cq(queue, 1, &wc) == 0; sched_yield()) {
      if (time(nullptr) - since > 20) failAt(__FILE__, __LINE__, "no completion came");
    }
    return wc.status;
  }
  ibv_mr* region(uint8_t* at, size_t count = 1) const {
    ibv_mr* made = ibv_reg_mr(domain, at, count * kPage, kAll);
    CHECK(made != nullptr);
    return made;
  }

  ibv_context* context = nullptr;
  ibv_pd* domain = nullptr;
  ibv_cq* queue = nullptr;
};

// Two connected queue pairs; the first one is the requester.
struct Pair {
  explicit Pair(const Device& device) : asks(device.create()), answers(device.create()) {
    device.connect(asks, answers);
    device.connect(answers, asks);
  }
  ~Pair() {
    EQUAL(ibv_destroy_qp(asks), 0);
    EQUAL(ibv_destroy_qp(answers), 0);
  }
  ibv_qp *asks, *answers;
};

}  // namespace

TEST(what_a_kernel_could_not_pin_is_refused) {
  Device device;
  uint8_t* at = pages(6);
  EQUAL(device.refusal(at, 6 * kPage, kAll), 0);
  EQUAL(munmap(at + 5 * kPage, kPage), 0);
  EQUAL(device.refusal(at + 5 * kPage, kPage, 0), EFAULT);
  EQUAL(device.refusal(at + 4 * kPage + 1, kPage, kRead), EFAULT);  // its last byte alone
  EQUAL(device.refusal(at, 5 * kPage, kAll), 0);
  EQUAL(mprotect(at + 2 * kPage, kPage, PROT_NONE), 0);
  for (const int access : {0, kRead, kWrite}) EQUAL(device.refusal(at, 5 * kPage, access), EFAULT);
  EQUAL(device.refusal(at, 2 * kPage, kAll), 0);
  // Several adjacent mappings, one of them read-only.
  EQUAL(mprotect(at + 2 * kPage, kPage, PROT_READ), 0);
  EQUAL(device.refusal(at, 5 * kPage, 0), 0);
  EQUAL(device.refusal(at, 5 * kPage, kRead), 0);
  EQUAL(device.refusal(at, 5 * kPage, kWrite), EFAULT);
  EQUAL(device.refusal(at + 2 * kPage, 1, kAll), EFAULT);
  EQUAL(munmap(at + 3 * kPage, kPage), 0);
  EQUAL(device.refusal(at, 5 * kPage, 0), EFAULT);  // a hole
  static const char constant[64] = "read-only data of the program";
  EQUAL(device.refusal(const_cast<char*>(constant), sizeof constant, kRead), 0);
  // A file that is shorter than its mapping.
  const int file = memfd_create("short", MFD_CLOEXEC);
  CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(kPage)) == 0);
  void* mapped = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  EQUAL(device.refusal(mapped, kPage, kAll), 0);
  EQUAL(device.refusal(mapped, 2 * kPage, kAll), EFAULT);
}

TEST(a_region_is_not_changed_to_what_could_not_be_pinned) {
  Device device;
  uint8_t* good = pages(2);
  uint8_t* readOnly = pages(1, PROT_READ);
  ibv_mr* region = device.region(good, 2);
  errno = 0;
  CHECK(ibv_rereg_mr(region, IBV_REREG_MR_CHANGE_TRANSLATION, nullptr, readOnly, kPage, 0) != 0);
  EQUAL(errno, EFAULT);
  ibv_mr* reading = ibv_reg_mr(device.domain, readOnly, kPage, kRead);
  CHECK(reading != nullptr);
  errno = 0;
  CHECK(ibv_rereg_mr(reading, IBV_REREG_MR_CHANGE_ACCESS, nullptr, nullptr, 0, kAll) != 0);
  EQUAL(errno, EFAULT);
}

TEST(memory_that_goes_away_ends_a_request_and_not_the_program) {
  Device device;
  uint8_t* stays = pages(1);
  ibv_mr* good = device.region(stays);
  for (int way = 0; way < 3; ++way) {
    const auto take = [way](uint8_t* at, int file) {
      if (way == 0) EQUAL(munmap(at, kPage), 0);
      if (way == 1) EQUAL(mprotect(at, kPage, PROT_NONE), 0);
      if (way == 2) EQUAL(ftruncate(file, 0), 0);
    };
    for (const bool local : {true, false}) {
      for (const ibv_wr_opcode opcode : {IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ}) {
        const int file = memfd_create("gone", MFD_CLOEXEC);
        CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(kPage)) == 0);
        auto* at = static_cast<uint8_t*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
        ibv_mr* gone = device.region(at);
        {
          const Pair pair(device);
          EQUAL(device.run(pair.asks, opcode, local ? gone : good, local ? good : gone), IBV_WC_SUCCESS);
          take(at, file);
          EQUAL(device.run(pair.asks, opcode, local ? gone : good, local ? good : gone),
                local ? IBV_WC_LOC_PROT_ERR : IBV_WC_REM_ACCESS_ERR);
        }
        EQUAL(ibv_dereg_mr(gone), 0);
        close(file);
        if (way != 0) munmap(at, kPage);
      }
    }
  }
  // The device still works.
  EQUAL(device.run(Pair(device).asks, IBV_WR_RDMA_WRITE, good, good), IBV_WC_SUCCESS);
}

TEST(a_programs_own_handler_that_came_later_does_not_hear_of_it) {
  Device device;
  struct sigaction own{};
  own.sa_handler = [](int) { _exit(3); };
  EQUAL(sigaction(SIGSEGV, &own, nullptr), 0);
  EQUAL(sigaction(SIGBUS, &own, nullptr), 0);
  uint8_t* at = pages(1);
  ibv_mr* gone = device.region(at);  // a command: from here on our handler is the first again
  uint8_t* stays = pages(1);
  ibv_mr* good = device.region(stays);
  const Pair pair(device);
  EQUAL(munmap(at, kPage), 0);
  EQUAL(device.run(pair.asks, IBV_WR_RDMA_WRITE, gone, good), IBV_WC_LOC_PROT_ERR);
}

TEST(memory_that_comes_and_goes_under_traffic) {
  Device device;
  uint8_t* stays = pages(1);
  ibv_mr* good = device.region(stays);
  uint8_t* at = pages(1);
  ibv_mr* flickering = device.region(at);
  std::atomic<bool> stop{false};
  std::thread flicker([&] {
    while (!stop) {
      mprotect(at, kPage, PROT_NONE);
      sched_yield();
      mprotect(at, kPage, PROT_READ | PROT_WRITE);
      sched_yield();
    }
  });
  auto pair = std::make_unique<Pair>(device);
  for (int i = 0; i < 300; ++i) {
    const bool local = i % 2 == 0;
    const int status = device.run(pair->asks, i % 4 < 2 ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
                                  local ? flickering : good, local ? good : flickering);
    if (status == IBV_WC_SUCCESS) continue;
    EQUAL(status, local ? IBV_WC_LOC_PROT_ERR : IBV_WC_REM_ACCESS_ERR);
    pair = std::make_unique<Pair>(device);
  }
  stop = true;
  flicker.join();
}

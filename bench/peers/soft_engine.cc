// The NIC engine of the software ConnectX alone, stepped by hand on one core: frames of one size through a loop wire,
// in batches; WQEs parsed, bytes moved, both CQEs written.
//
// soft_engine [SIZE [BATCH [ROUNDS]]] prints JSON: nanoseconds a frame inside step(), the median of the rounds, for
// each of several variants, and for the copies of the same bytes alone. It excludes the driver's share (writing WQEs,
// reading CQEs), and includes one reading of the clock for each batch.
#include <infiniband/verbs.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "nic/nic.h"
#include "nic/wqe.h"

namespace {

using namespace soft;

constexpr uint32_t kRing = 256;

struct Silent : Events {
  void completion(uint32_t, void*) override {}
  void asynchronous(const AsyncEvent& event) override {
    std::fprintf(stderr, "asynchronous event %d\n", static_cast<int>(event.type));
    std::exit(1);
  }
};

struct Variant {
  const char* name;
  uint8_t checksums;
  uint32_t elements;  // scatter/gather elements of a frame
  bool inlined;
  uint32_t rules;  // flow rules that do not match, before the one that does
};

uint64_t nanoseconds() { return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()); }

void check(int error) {
  if (error == 0) return;
  std::fprintf(stderr, "%s\n", std::strerror(error));
  std::exit(1);
}

// One queue pair on a loop wire.
class Bench {
 public:
  Bench(uint32_t size, const Variant& variant)
      : size_(size),
        variant_(variant),
        nic_(attributes(), events_),
        memory_(1u << 20),
        sq_(kRing * 256),
        rq_(kRing * 16) {
    check(nic_.connect(1, makeLoopWire()));
    uint32_t pd;
    check(nic_.allocateProtectionDomain(&pd));
    MemoryRegionAttributes region;
    region.pd = pd;
    region.base = memory_.data();
    region.iova = reinterpret_cast<uint64_t>(memory_.data());
    region.length = memory_.size();
    region.access = IBV_ACCESS_LOCAL_WRITE;
    check(nic_.createMemoryRegion(region, &key_));
    for (int i = 0; i < 2; ++i) {
      ring_[i].assign(kRing * 64, 0);
      for (uint32_t k = 0; k < kRing; ++k) ring_[i][k * 64 + 63] = MLX5_CQE_INVALID << 4;
      CompletionQueueAttributes cq;
      cq.buffer = ring_[i].data();
      cq.entries = kRing;
      cq.doorbell = cqDoorbell_[i];
      check(nic_.createCompletionQueue(cq, &cqn_[i]));
    }
    QueuePairAttributes qp;
    qp.type = QueuePairType::rawPacket;
    qp.pd = pd;
    qp.sendCq = cqn_[0];
    qp.receiveCq = cqn_[1];
    qp.sq = {sq_.data(), kRing * 4, &doorbell_[1]};
    qp.rq = {rq_.data(), kRing, 4, &doorbell_[0], false};
    check(nic_.createQueuePair(qp, &qpn_));
    for (const QueuePairState state : {QueuePairState::init, QueuePairState::rtr, QueuePairState::rts}) {
      QueuePairChange change;
      change.mask = IBV_QP_STATE | IBV_QP_PORT;
      change.port = 1;
      change.state = state;
      check(nic_.modifyQueuePair(qpn_, change));
    }
    for (uint32_t i = 0; i <= variant.rules; ++i) {
      FlowRule rule;
      rule.qpn = qpn_;
      rule.priority = static_cast<uint16_t>(i);
      rule.outer.value.destinationMac = {2, 0, 0, 0, 0, static_cast<uint8_t>(i == variant.rules ? 0xff : i)};
      rule.outer.mask.destinationMac.fill(0xff);
      uint32_t flow;
      check(nic_.createFlow(rule, &flow));
    }
    buildFrame();
  }

  void receive(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i, ++posted_) {
      uint8_t* at = rq_.data() + posted_ % kRing * 16;
      store32(at, 2048);
      store32(at + 4, key_);
      store64(at + 8, reinterpret_cast<uint64_t>(memory_.data() + (1 << 19) + posted_ % kRing * 2048));
    }
    __atomic_store_n(&doorbell_[0], __builtin_bswap32(posted_), __ATOMIC_RELEASE);
  }

  void send(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      uint8_t* at = sq_.data() + produced_ % (kRing * 4) * 64;
      std::memset(at, 0, 64);
      uint32_t segments = 2;
      at[16 + 4] = variant_.checksums;
      const uint8_t* frame = memory_.data() + i * 2048;
      if (variant_.inlined) {
        store32(at + 32, size_ | MLX5_INLINE_SEG);
        std::memcpy(at + 36, frame, size_);
        segments += (4 + size_ + 15) / 16;
      } else {
        uint32_t offset = 0;
        for (uint32_t k = 0; k < variant_.elements; ++k) {
          const uint32_t part = k + 1 == variant_.elements ? size_ - offset : size_ / variant_.elements;
          store32(at + segments * 16, part);
          store32(at + segments * 16 + 4, key_);
          store64(at + segments * 16 + 8, reinterpret_cast<uint64_t>(frame + offset));
          offset += part;
          ++segments;
        }
      }
      store32(at, uint32_t{produced_} << 8 | MLX5_OPCODE_SEND);
      store32(at + 4, qpn_ << 8 | segments);
      at[11] = MLX5_WQE_CTRL_CQ_UPDATE;
      produced_ = static_cast<uint16_t>(produced_ + (segments + 3) / 4);
    }
    __atomic_store_n(&doorbell_[1], __builtin_bswap32(produced_), __ATOMIC_RELEASE);
  }

  void poll(uint32_t count) {
    for (int i = 0; i < 2; ++i) {
      for (uint32_t k = 0; k < count; ++k) {
        const uint32_t index = consumed_ + k;
        const uint8_t own = ring_[i][index % kRing * 64 + 63];
        if (own >> 4 == (i == 0 ? MLX5_CQE_REQ : MLX5_CQE_RESP_SEND) && (own & 1) == (index / kRing & 1)) continue;
        std::fprintf(stderr, "a completion is missing\n");
        std::exit(1);
      }
    }
    consumed_ += count;
    for (int i = 0; i < 2; ++i) cqDoorbell_[i][0] = __builtin_bswap32(consumed_ & 0xffffff);
  }

  // Nanoseconds of a frame within step(): the median of the rounds.
  double run(uint32_t batch, uint32_t rounds) {
    std::vector<uint64_t> times(rounds);
    receive(batch);
    for (uint32_t i = 0; i < rounds; ++i) {
      send(batch);
      const uint64_t begin = nanoseconds();
      nic_.step(begin);
      times[i] = nanoseconds() - begin;
      poll(batch);
      receive(batch);
    }
    std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
    return static_cast<double>(times[rounds / 2]) / batch;
  }

 private:
  static NicAttributes attributes() {
    NicAttributes result;
    result.ports.resize(1);
    return result;
  }

  // An IPv4 UDP packet, so that the engine checks its checksums.
  void buildFrame() {
    for (uint32_t i = 0; i < kRing; ++i) {
      uint8_t* at = memory_.data() + (i % 128) * 2048;
      const uint8_t addresses[12] = {2, 0, 0, 0, 0, 0xff, 2, 0, 0, 0, 0, 1};
      std::memcpy(at, addresses, 12);
      store16(at + 12, 0x0800);
      at[14] = 0x45;
      store16(at + 16, static_cast<uint16_t>(size_ - 14));
      at[22] = 64;
      at[23] = 17;
      store32(at + 26, 0x0a000001);
      store32(at + 30, 0x0a000002);
      store16(at + 34, 1000);
      store16(at + 36, 2000);
      store16(at + 38, static_cast<uint16_t>(size_ - 34));
    }
  }

  uint32_t size_;
  Variant variant_;
  Silent events_;
  Nic nic_;
  std::vector<uint8_t> memory_, sq_, rq_, ring_[2];
  alignas(64) uint32_t cqDoorbell_[2][16] = {};
  alignas(64) uint32_t doorbell_[2] = {};
  uint32_t key_ = 0, qpn_ = 0, cqn_[2] = {}, consumed_ = 0;
  uint16_t produced_ = 0, posted_ = 0;
};

// The cost of memory alone: reads each WQE, copies each frame twice and writes each CQE, without parsing any.
double copies(uint32_t size, uint32_t batch, uint32_t rounds) {
  std::vector<uint8_t> ring(kRing * 64), frames(128 * 2048), wire(1u << 19), memory(kRing * 2048), cqes(2 * kRing * 64);
  std::vector<uint64_t> times(rounds);
  uint32_t index = 0;
  for (uint64_t& time : times) {
    const uint64_t begin = nanoseconds();
    for (uint32_t i = 0; i < batch; ++i) {
      const uint32_t slot = (index + i) % kRing;
      uint8_t wqe[64];
      std::memcpy(wqe, &ring[slot * 64], 64);
      asm volatile("" : : "r"(wqe) : "memory");
      std::memcpy(&wire[i * (size + 8)], &frames[i * 2048], size);
      std::memcpy(&cqes[slot * 64], wqe, 64);
    }
    for (uint32_t i = 0; i < batch; ++i) {
      const uint32_t slot = (index + i) % kRing;
      std::memcpy(&memory[slot * 2048], &wire[i * (size + 8)], size);
      std::memcpy(&cqes[(kRing + slot) * 64], &ring[slot * 64], 64);
      asm volatile("" : : : "memory");
    }
    index += batch;
    time = nanoseconds() - begin;
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return static_cast<double>(times[rounds / 2]) / batch;
}

}  // namespace

int main(int count, char** arguments) {
  const uint32_t size = count > 1 ? static_cast<uint32_t>(std::atoi(arguments[1])) : 64;
  const uint32_t batch = count > 2 ? static_cast<uint32_t>(std::atoi(arguments[2])) : 32;
  const uint32_t rounds = count > 3 ? static_cast<uint32_t>(std::atoi(arguments[3])) : 20000;
  if (size < 60 || size > 1518 || batch < 1 || batch > 128 || rounds < 1) {
    std::fprintf(stderr, "soft_engine [SIZE 60-1518 [BATCH 1-128 [ROUNDS]]]\n");
    return 2;
  }
  const Variant variants[] = {
      {"plain", 0, 1, false, 0},          {"checksums", MLX5_ETH_WQE_L3_CSUM | MLX5_ETH_WQE_L4_CSUM, 1, false, 0},
      {"two elements", 0, 2, false, 0},   {"inline", 0, 0, true, 0},
      {"64 flow rules", 0, 1, false, 64},
  };
  std::printf("{\"size\":%u,\"batch\":%u,\"rounds\":%u", size, batch, rounds);
  copies(size, batch, rounds / 10 + 1);
  std::printf(",\"copies\":%.2f", copies(size, batch, rounds));
  for (const Variant& variant : variants) {
    if (variant.inlined && size > 900) continue;
    Bench bench(size, variant);
    bench.run(batch, rounds / 10 + 1);
    std::printf(",\"%s\":%.2f", variant.name, bench.run(batch, rounds));
  }
  std::printf("}\n");
}

// A program that polls the last byte of what comes, on another core than the NIC, finds all of it (nic/guarded.h,
// guardedLand).
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "peers.h"

using namespace soft;

namespace {

constexpr uint32_t kPacket = 4096;  // one packet of the largest MTU
constexpr size_t kTarget = 1 << 16;

// POLLING_ROUNDS: the test of the long run has a million (tests/soft/polling.long.test.ts).
int roundsOf(int share) {
  const char* wanted = std::getenv("POLLING_ROUNDS");
  return (wanted != nullptr ? std::atoi(wanted) : 12'000) / share;
}

// The NIC's thread, and this one as the program's.
class Polling {
 public:
  explicit Polling(const PeersOptions& options) : peers(options) {
    const auto pair = makePairWire();
    EQUAL(peers.card.nic.connect(1, pair, 0), 0);
    EQUAL(peers.card.nic.connect(2, pair, 1), 0);
    thread_ = std::thread([this] {
      while (!over_) {
        if (!peers.card.nic.step(peers.card.now += 100)) sched_yield();
      }
    });
  }
  ~Polling() {
    over_ = true;
    thread_.join();
  }

  // Sends the same bytes, other ones each time, and polls the last one of where they come.
  template <typename Post>
  void run(int rounds, Side& from, Side& to, size_t header, uint32_t length, Post post) {
    CHECK(rounds > 0);
    for (int round = 1; round <= rounds; ++round) {
      uint8_t* source = from.at(0);
      uint8_t* target = to.at(kTarget + static_cast<size_t>(round) * 13 % 64 + header);
      std::memset(source, round, length);
      std::memset(target, round - 1, length);
      post(target - header);
      const auto* last = static_cast<volatile const uint8_t*>(target + length - 1);
      for (int spins = 0; *last != static_cast<uint8_t>(round); ++spins) {
        if (spins % 64 == 63) sched_yield();
      }
      std::atomic_thread_fence(std::memory_order_acquire);
      if (std::memcmp(source, target, length) != 0) {
        const auto wrong = std::mismatch(source, source + length, target).second - target;
        failAt(__FILE__, __LINE__,
               "round " + std::to_string(round) + ": the last byte had come, but byte " + std::to_string(wrong) +
                   " had not");
      }
      for (Side* side : {&peers.a, &peers.b}) {
        while (const uint8_t* cqe = side->sendCq.poll()) EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
        while (const uint8_t* cqe = side->receiveCq.poll()) EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
      }
    }
  }

  Peers peers;

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

PeersOptions large(QueuePairType type) {
  PeersOptions options;
  options.type = type;
  options.mtu = kPacket;
  options.timeout = 0;  // the NIC's time here is its steps
  return options;
}

}  // namespace

TEST(who_polls_the_last_byte_of_a_write_finds_all_of_it) {
  Polling polling(large(QueuePairType::rc));
  Side &a = polling.peers.a, &b = polling.peers.b;
  polling.run(roundsOf(1), a, b, 0, kPacket, [&](const uint8_t* target) {
    a.qp->send(remote(MLX5_OPCODE_RDMA_WRITE, target, b.memory.key).data(a.memory.sge(0, kPacket)));
  });
}

TEST(who_polls_the_last_byte_of_a_message_finds_all_of_it) {
  Polling polling(large(QueuePairType::rc));
  Side &a = polling.peers.a, &b = polling.peers.b;
  polling.run(roundsOf(4), a, b, 0, kPacket, [&](const uint8_t* target) {
    b.qp->receive({{target, kPacket, b.memory.key}});
    a.qp->send(Wqe(MLX5_OPCODE_SEND).data(a.memory.sge(0, kPacket)));
  });
}

TEST(who_polls_the_last_byte_of_a_read_finds_all_of_it) {
  Polling polling(large(QueuePairType::rc));
  Side &a = polling.peers.a, &b = polling.peers.b;
  polling.run(roundsOf(4), b, a, 0, kPacket, [&](const uint8_t* target) {
    a.qp->send(remote(MLX5_OPCODE_RDMA_READ, b.at(0), b.memory.key).data({target, kPacket, a.memory.key}));
  });
}

TEST(who_polls_the_last_byte_of_a_datagram_finds_all_of_it) {
  Polling polling(large(QueuePairType::ud));
  Side &a = polling.peers.a, &b = polling.peers.b;
  polling.run(roundsOf(4), a, b, 40, kPacket, [&](const uint8_t* target) {
    b.qp->receive({{target, 40 + kPacket, b.memory.key}});
    a.qp->send(datagram(MLX5_OPCODE_SEND, mapped(2), macOf(2), b.qp->number, kQkey).data(a.memory.sge(0, kPacket)));
  });
}

TEST(who_polls_the_last_byte_of_an_atomic_operations_result_finds_all_of_it) {
  Polling polling(large(QueuePairType::rc));
  Side &a = polling.peers.a, &b = polling.peers.b;
  polling.run(roundsOf(4), b, a, 0, 8, [&](const uint8_t* target) {
    a.qp->send(atomic(MLX5_OPCODE_ATOMIC_FA, b.at(0), b.memory.key, 0).data({target, 8, a.memory.key}));
  });
}

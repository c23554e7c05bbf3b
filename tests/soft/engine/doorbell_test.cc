// Doorbells of queues that have been idle: shared registers, overwritten hints, records without a register write; and
// the work that needs no doorbell at all.
#include "frames.h"

using namespace soft;

namespace {

// As libmlx5 rings: the record, then the control segment's first eight bytes to one half of the register.
struct BlueFlame {
  void ring(Qp& qp, const Wqe& wqe) {
    qp.write(wqe);
    qp.ring();
    hint(qp);
  }
  void hint(const Qp& qp) {
    Bytes word(8);
    word[0] = 0;
    store16(&word[1], static_cast<uint16_t>(qp.produced - 1));
    word[3] = MLX5_OPCODE_SEND;
    store32(&word[4], qp.number << 8 | 3);
    uint64_t value;
    std::memcpy(&value, word.data(), 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(bytes + half), value, __ATOMIC_RELEASE);
    half ^= 256;
  }
  void arm(Cq& cq, uint32_t sequence) {
    cq.arm(sequence);
    uint64_t value = uint64_t{cq.doorbell[1]} | uint64_t{__builtin_bswap32(cq.number)} << 32;
    __atomic_store_n(reinterpret_cast<uint64_t*>(bytes), value, __ATOMIC_RELEASE);
  }
  alignas(64) uint8_t bytes[512] = {};
  size_t half = 0;
};

// Raw packet queue pairs that share a register, on a loop wire without a receiver.
struct Many {
  explicit Many(size_t count) : sendCq(card.nic, 1024), receiveCq(card.nic, 64), memory(card.nic, card.pd, 1 << 16) {
    EQUAL(card.nic.connect(1, makeLoopWire()), 0);
    for (size_t i = 0; i < count; ++i) {
      qps.push_back(card.rawQp(sendCq, receiveCq, false, 16, 16, 6, bell.bytes));
      qps.back()->bringUp();
    }
    rest();
  }
  Wqe frame() { return Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)); }
  // Until no queue has work and the NIC has looked at every record: from here on only a doorbell helps.
  void rest() {
    for (int quiet = 0; quiet < 100; quiet = card.nic.step(card.now += 1000) ? 0 : quiet + 1) continue;
    while (!card.nic.settled()) card.step();
  }
  std::vector<uint32_t> completed() {
    std::vector<uint32_t> numbers;
    while (const uint8_t* cqe = sendCq.poll()) {
      EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
      numbers.push_back(load24(cqe + 57));
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  Card card;
  Cq sendCq, receiveCq;
  Region memory;
  BlueFlame bell;
  std::vector<std::unique_ptr<Qp>> qps;
};

}  // namespace

TEST(a_register_names_the_queue_that_was_rung) {
  Many many(300);
  for (const size_t i : {size_t{7}, size_t{299}, size_t{0}}) {
    many.bell.ring(*many.qps[i], many.frame());
    many.card.step();
    CHECK(many.completed() == std::vector<uint32_t>{many.qps[i]->number});
    many.rest();
  }
}

TEST(a_ring_that_another_overwrote_is_found) {
  Many many(300);
  // Both halves are written twice before the NIC looks.
  std::vector<uint32_t> rung;
  for (const size_t i : {size_t{3}, size_t{120}, size_t{220}, size_t{299}}) {
    many.bell.ring(*many.qps[i], many.frame());
    rung.push_back(many.qps[i]->number);
  }
  many.card.step();
  CHECK((many.completed() == std::vector<uint32_t>{rung[2], rung[3]}));
  many.rest();
  CHECK((many.completed() == std::vector<uint32_t>{rung[0], rung[1]}));
}

TEST(a_record_that_no_register_tells_of_is_found_before_the_nic_may_sleep) {
  Many many(300);
  many.bell.ring(*many.qps[5], many.frame());
  many.card.step();
  EQUAL(many.completed().size(), 1);
  many.qps[77]->send(many.frame());  // the record alone
  CHECK(!many.card.nic.settled());
  while (!many.card.nic.settled()) many.card.step();
  many.card.step();
  CHECK(many.completed() == std::vector<uint32_t>{many.qps[77]->number});
}

TEST(a_register_that_holds_the_same_word_again_loses_nothing) {
  Many many(40);
  Qp& qp = *many.qps[20];
  many.bell.ring(qp, many.frame());
  many.rest();
  EQUAL(many.completed().size(), 1);
  // Reset, and the same WQE in the same half.
  EQUAL(qp.modify(QueuePairState::reset), 0);
  qp.produced = 0;
  qp.doorbell[0] = qp.doorbell[1] = 0;
  qp.bringUp();
  many.rest();
  many.bell.half = 0;
  many.bell.ring(qp, many.frame());
  many.bell.half = 0;
  many.bell.ring(*many.qps[1], many.frame());
  many.rest();
  EQUAL(many.completed().size(), 2);
}

TEST(a_hint_at_a_queue_that_is_gone_hurts_nobody) {
  Many many(8);
  const uint32_t gone = many.qps[3]->number;
  many.bell.ring(*many.qps[6], many.frame());
  many.bell.hint(*many.qps[3]);
  EQUAL(many.card.nic.destroyQueuePair(gone), 0);
  many.qps.erase(many.qps.begin() + 3);
  many.rest();
  CHECK(many.completed() == std::vector<uint32_t>{many.qps[5]->number});
  for (const auto& qp : many.qps) many.bell.ring(*qp, many.frame());
  many.rest();
  EQUAL(many.completed().size(), 7);
}

TEST(two_queues_that_ring_one_register_by_turns_never_strand) {
  Many many(50);
  uint32_t random = 1;
  uint32_t sent = 0, seen = 0;
  for (int i = 0; i < 20000; ++i) {
    random = random * 1664525 + 1013904223;
    many.bell.ring(*many.qps[i % 2 == 0 ? 10 : 40], many.frame());
    ++sent;
    // Between no look at all and so many that both are idle again.
    const uint32_t looks = random >> 28 == 0 ? 80 : random >> 24 & 3;
    many.card.step(static_cast<int>(looks));
    seen += static_cast<uint32_t>(many.completed().size());
    if (sent - seen > 8) {
      many.rest();
      seen += static_cast<uint32_t>(many.completed().size());
      EQUAL(seen, sent);
    }
  }
  many.rest();
  EQUAL(seen + many.completed().size(), sent);
}

TEST(a_queue_without_a_known_register_is_looked_at_in_every_step) {
  Many many(20);
  const auto other = many.card.rawQp(many.sendCq, many.receiveCq);
  other->bringUp();
  many.rest();
  other->send(many.frame());
  many.card.step();
  CHECK(many.completed() == std::vector<uint32_t>{other->number});
}

TEST(what_the_wire_had_no_room_for_goes_on_without_another_doorbell) {
  Card card;
  Cq sendCq(card.nic, 1024), receiveCq(card.nic, 64);
  Region memory(card.nic, card.pd, 1 << 16);
  LinkOptions slow;
  slow.loop = true;
  slow.direction[0].bitsPerSecond = 1'000'000'000;
  EQUAL(card.nic.connect(1, makeLinkWire(slow)), 0);
  BlueFlame bell;
  auto qp = card.rawQp(sendCq, receiveCq, false, 1024, 16, 6, bell.bytes);
  qp->bringUp();
  for (int i = 0; i < 1000; ++i) qp->write(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 9000)));
  qp->ring();
  bell.hint(*qp);
  int completed = 0;
  for (int i = 0; i < 200000 && completed < 1000; ++i) {
    card.step();
    while (sendCq.poll() != nullptr) ++completed;
  }
  EQUAL(completed, 1000);
}

TEST(arming_two_idle_queues_through_one_register_raises_both_events) {
  Card card;
  BlueFlame bell;
  EQUAL(card.nic.connect(1, makeLoopWire()), 0);
  Region memory(card.nic, card.pd, 1 << 16);
  std::vector<std::unique_ptr<Cq>> cqs;
  std::vector<std::unique_ptr<Qp>> qps;
  for (int i = 0; i < 100; ++i) {
    cqs.push_back(std::make_unique<Cq>(card.nic, 16, 64, bell.bytes));
    qps.push_back(card.rawQp(*cqs.back(), *cqs.back()));
    qps.back()->bringUp();
  }
  for (const size_t i : {size_t{20}, size_t{90}}) qps[i]->send(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)));
  const auto rest = [&card] {
    card.step(100);
    while (!card.nic.settled()) card.step();
    card.step();
  };
  rest();
  CHECK(card.events.completions.empty());
  bell.arm(*cqs[20], 0);  // behind an entry that is already there
  bell.arm(*cqs[90], 0);
  rest();
  std::sort(card.events.completions.begin(), card.events.completions.end());
  CHECK((card.events.completions == std::vector<uint32_t>{cqs[20]->number, cqs[90]->number}));
  qps[20]->send(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)));
  rest();
  EQUAL(card.events.completions.size(), 2);
  bell.arm(*cqs[20], 1);  // behind another entry
  rest();
  EQUAL(card.events.completions.size(), 3);
}

TEST(receives_that_are_posted_while_everything_rests_are_there_when_the_frame_comes) {
  Many many(20);
  Qp& qp = *many.qps[4];
  many.card.everythingTo(qp);
  many.rest();
  qp.receive({many.memory.sge(4096, 2048)});  // the record alone, as libmlx5 posts receives
  many.rest();
  many.bell.ring(*many.qps[9], many.frame());
  many.card.step();
  CHECK(many.receiveCq.poll() != nullptr);
  EQUAL(many.card.counters().receiveNoBuffer, 0);
}

TEST(receives_that_are_posted_in_error_are_flushed_however_long_it_rested) {
  Many many(100);
  for (const auto& qp : many.qps) EQUAL(qp->modify(QueuePairState::err), 0);
  many.rest();
  many.qps[99]->receive({many.memory.sge(4096, 2048)});
  many.qps[50]->receive({many.memory.sge(4096, 2048)});
  for (int i = 0; i < 4; ++i) many.card.step();  // a share of them in each
  int flushed = 0;
  while (const uint8_t* cqe = many.receiveCq.poll()) {
    EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_ERR);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
    ++flushed;
  }
  EQUAL(flushed, 2);
}

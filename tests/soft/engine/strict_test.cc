// Strict mode (nic/strict.cc): what a register told counts, and a register that is ahead of its record is a violation,
// which a step throws.
#include "frames.h"

using namespace soft;

namespace {

// A thread domain's register, and the one that arms completion queues.
struct Registers {
  alignas(4096) uint8_t bytes[4096] = {};
  uint8_t* own() { return bytes + 0x800; }
  uint8_t* arm() { return bytes + 0x20; }
};

// The words of the violation that a step throws; empty: none.
template <typename Body>
std::string violationOf(Body body) {
  try {
    body();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return {};
}

struct Strict {
  explicit Strict(bool own = true, bool strict = true)
      : card(attributes(strict)), sendCq(card.nic, 64, 64, registers.arm()), memory(card.nic, card.pd, 1 << 16) {
    EQUAL(card.nic.connect(1, makeLoopWire()), 0);
    qp = pair(own);
  }
  static NicAttributes attributes(bool strict) {
    NicAttributes result = Card::attributes(1, 0);
    result.strict = strict;
    return result;
  }
  // Without a receive ring, so that one completion queue is all that there is.
  std::unique_ptr<Qp> pair(bool own) {
    QueuePairAttributes attributes;
    attributes.type = QueuePairType::rawPacket;
    attributes.pd = card.pd;
    attributes.sendCq = attributes.receiveCq = sendCq.number;
    attributes.sq.bell = registers.own();
    attributes.sq.ownBell = own;
    auto made = std::make_unique<Qp>(card.nic, attributes, 16, 16, 6);
    made->bringUp();
    return made;
  }
  Wqe frame() { return Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)); }
  // The register's half, with the first eight bytes of the WQE at `index`.
  void tell(Qp& pair, uint16_t index) { store(half(), &pair.sq[index % 16 * 64]); }
  uint8_t* half() {
    uint8_t* at = registers.own() + turn;
    turn ^= 256;
    return at;
  }
  static void store(uint8_t* at, const uint8_t* from) {
    uint64_t word;
    std::memcpy(&word, from, 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(at), word, __ATOMIC_RELEASE);
  }
  void tellArm(const Cq& cq, uint32_t record) {
    const uint64_t word = uint64_t{__builtin_bswap32(cq.number)} << 32 | __builtin_bswap32(record);
    __atomic_store_n(reinterpret_cast<uint64_t*>(registers.arm()), word, __ATOMIC_RELEASE);
  }
  size_t completed() {
    size_t count = 0;
    while (const uint8_t* cqe = sendCq.poll()) {
      EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
      ++count;
    }
    return count;
  }
  void rest() {
    card.nic.stir();
    for (int quiet = 0; quiet < 100; quiet = card.nic.step(card.now += 1000) ? 0 : quiet + 1) continue;
    while (!card.nic.settled()) card.step();
  }

  Registers registers;
  Card card;
  Cq sendCq;
  Region memory;
  std::unique_ptr<Qp> qp;
  size_t turn = 0;
};

}  // namespace

TEST(sends_are_taken_up_to_what_the_register_told) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (int i = 0; i < 5; ++i) qp.write(strict.frame());
  qp.ring();
  strict.rest();
  EQUAL(strict.completed(), 0);
  strict.tell(qp, 2);
  strict.rest();
  EQUAL(strict.completed(), 3);
  strict.tell(qp, 4);
  strict.rest();
  EQUAL(strict.completed(), 2);
  strict.rest();
  EQUAL(qp.state(), QueuePairState::rts);
}

TEST(without_strict_mode_the_record_is_enough) {
  Strict lenient(true, false);
  lenient.qp->send(lenient.frame());
  lenient.rest();
  EQUAL(lenient.completed(), 1);
  // And a register that is ahead is only looked at.
  lenient.qp->write(lenient.frame());
  lenient.tell(*lenient.qp, 1);
  lenient.rest();
  EQUAL(lenient.completed(), 0);
  lenient.qp->ring();
  lenient.rest();
  EQUAL(lenient.completed(), 1);
}

TEST(a_register_of_the_contexts_leaves_it_to_the_record) {
  Strict strict(false);
  strict.qp->send(strict.frame());
  strict.rest();
  EQUAL(strict.completed(), 1);
}

TEST(where_two_queue_pairs_ring_the_records_count) {
  Strict strict;
  Qp& first = *strict.qp;
  first.write(strict.frame());
  first.ring();
  strict.rest();
  EQUAL(strict.completed(), 0);
  const auto second = strict.pair(true);
  strict.rest();
  EQUAL(strict.completed(), 1);
  second->send(strict.frame());
  strict.rest();
  EQUAL(strict.completed(), 1);
  // A ring that ran ahead of its record cannot be told from one that another hid.
  first.write(strict.frame());
  strict.tell(first, 1);
  EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
}

TEST(a_ring_ahead_of_its_record_is_fatal_and_named) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (int i = 0; i < 3; ++i) qp.write(strict.frame());
  qp.ring();
  strict.tell(qp, 2);
  strict.rest();
  EQUAL(strict.completed(), 3);
  for (int i = 0; i < 2; ++i) qp.write(strict.frame());
  strict.tell(qp, 4);
  const std::string words = violationOf([&] { strict.card.step(); });
  char expected[160];
  std::snprintf(
      expected, sizeof expected,
      "queue pair 0x%06x: its register told of the WQE with index 4, up to block 5, while its doorbell record "
      "said 3. ",
      qp.number);
  EQUAL(words.compare(0, std::strlen(expected), expected), 0);
  CHECK(words.find("store the record, then a barrier") != std::string::npos);
  CHECK(strict.card.events.has(AsyncEventType::qpFatal, qp.number));
  EQUAL(qp.state(), QueuePairState::err);
  // The record comes too late, and its sends are flushed: the driver hears of each.
  qp.ring();
  EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
  for (int i = 0; i < 2; ++i) {
    const uint8_t* cqe = strict.sendCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  }
  CHECK(strict.sendCq.poll() == nullptr);
}

TEST(a_store_that_is_held_is_judged_by_the_record_of_that_moment) {
  for (const bool wrong : {true, false}) {
    Strict strict;
    Qp& qp = *strict.qp;
    uint8_t* door = strict.half();
    CHECK(strict.card.nic.atDoor(door, 1) == BellState::told);
    qp.write(strict.frame());
    if (!wrong) {
      qp.ring();
      CHECK(strict.card.nic.atDoor(door, 1) == BellState::waiting);
    }
    Strict::store(door, qp.sq.data());
    qp.ring();  // before anybody looks
    strict.card.nic.stored(door, 1);
    const std::string words = violationOf([&] { strict.rest(); });
    EQUAL(words.empty(), !wrong);
    EQUAL(strict.card.events.has(AsyncEventType::qpFatal, qp.number), wrong);
  }
}

TEST(behind_an_open_door_more_than_one_ring_may_follow) {
  Strict strict;
  Qp& qp = *strict.qp;
  qp.write(strict.frame());
  qp.ring();
  uint8_t* door = strict.half();
  CHECK(strict.card.nic.atDoor(strict.registers.own(), 512) == BellState::waiting);
  const uint32_t before = strict.card.nic.rings(strict.registers.bytes, 4096);
  for (int i = 0; i < 3; ++i) {
    Strict::store(door, &qp.sq[static_cast<size_t>(i) * 64]);
    qp.write(strict.frame());
    qp.ring();
  }
  EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
  EQUAL(strict.completed(), 3);
  EQUAL(strict.card.nic.rings(strict.registers.bytes, 4096), before + 1);
}

TEST(where_queues_share_a_register_nobody_is_held) {
  Strict strict(false);
  CHECK(strict.card.nic.atDoor(strict.registers.own(), 1) == BellState::shared);
  CHECK(strict.card.nic.atDoor(strict.registers.bytes, 4096) == BellState::told);  // the completion queue's is there
  const Cq second(strict.card.nic, 64, 64, strict.registers.arm());
  CHECK(strict.card.nic.atDoor(strict.registers.bytes, 4096) == BellState::shared);
}

TEST(after_a_reset_the_same_word_again_is_a_ring) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (int life = 0; life < 4; ++life) {
    qp.write(strict.frame());
    qp.ring();
    strict.turn = 0;
    strict.tell(qp, 0);
    strict.rest();
    EQUAL(strict.completed(), 1);
    EQUAL(qp.modify(QueuePairState::reset), 0);
    qp.produced = 0;
    qp.doorbell[0] = qp.doorbell[1] = 0;
    qp.bringUp();
  }
  // From the first word on that differs, the register counts again.
  strict.turn = 0;
  for (int i = 0; i < 2; ++i) qp.write(strict.frame());
  qp.ring();
  strict.tell(qp, 1);
  strict.rest();
  EQUAL(strict.completed(), 2);
  qp.send(strict.frame());
  strict.rest();
  EQUAL(strict.completed(), 0);
}

TEST(after_a_reset_the_half_that_is_looked_at_last_may_be_the_older) {
  Strict strict;
  Qp& qp = *strict.qp;
  const auto send = [&](uint16_t index) {
    qp.write(strict.frame());
    qp.ring();
    strict.tell(qp, index);
  };
  for (uint16_t i = 0; i < 2; ++i) send(i);
  strict.rest();
  EQUAL(strict.completed(), 2);
  EQUAL(qp.modify(QueuePairState::reset), 0);
  qp.produced = 0;
  qp.doorbell[0] = qp.doorbell[1] = 0;
  qp.bringUp();
  strict.turn = 256;
  for (uint16_t i = 0; i < 2; ++i) send(i);
  strict.rest();
  EQUAL(strict.completed(), 2);
}

TEST(indices_go_round) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (uint32_t i = 0; i < 70000; i += 7) {
    const uint16_t first = qp.produced;
    for (int k = 0; k < 7; ++k) qp.write(strict.frame());
    qp.ring();
    strict.tell(qp, static_cast<uint16_t>(first + 6));
    strict.card.step();
    EQUAL(strict.completed(), 7);
  }
}

TEST(a_copied_wqe_is_compared_with_the_ring) {
  Strict strict;
  Qp& qp = *strict.qp;
  // 64 bytes of the WQE, as libmlx5's mlx5_bf_copy; the rest of the ring block is no part of it.
  const auto copy = [&](uint16_t index, size_t bytes) {
    std::memcpy(strict.half(), &qp.sq[index % 16 * size_t{64}], bytes);
  };
  for (uint16_t i = 0; i < 6; ++i) {
    qp.write(strict.frame());
    qp.ring();
    copy(i, i == 4 ? 24 : 64);  // once it is looked at in its midst
    strict.card.step();
    EQUAL(strict.completed(), 1);
  }
  qp.write(strict.frame());
  qp.ring();
  uint8_t* at = strict.half();
  std::memcpy(at, &qp.sq[6 * 64], 64);
  at[35] ^= 0xff;
  const std::string words = violationOf([&] { strict.card.step(); });
  CHECK(words.find("byte 35 of the WQE with index 6") != std::string::npos);
  CHECK(strict.card.events.has(AsyncEventType::qpFatal, qp.number));
}

TEST(the_rest_of_a_copy_that_was_looked_at_in_its_midst_is_not_the_next_ones) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (uint16_t i = 0; i < 3; ++i) {
    qp.write(strict.frame());
    qp.sq[size_t{i} * 64 + 20] = static_cast<uint8_t>(i + 1);  // of the Ethernet segment: ignored
    qp.ring();
    uint8_t* at = strict.half();
    if (i == 2) std::memcpy(at + 8, &qp.sq[8], 56);  // the writer of the first copy was held, and goes on
    Strict::store(at, &qp.sq[size_t{i} * 64]);
    EQUAL(violationOf([&] { strict.card.step(); }).size(), 0);
    EQUAL(strict.completed(), 1);
  }
}

TEST(copies_that_were_not_seen_one_by_one_are_not_compared) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (uint16_t i = 0; i < 3; ++i) {
    qp.write(strict.frame());
    qp.sq[static_cast<size_t>(i) * 64 + 20] = static_cast<uint8_t>(i + 1);  // of the Ethernet segment: ignored
    qp.ring();
    std::memcpy(strict.half(), &qp.sq[static_cast<size_t>(i) * 64], i == 2 ? 8 : 64);
  }
  EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
  EQUAL(strict.completed(), 3);
}

TEST(a_copy_that_was_not_seen_is_not_the_next_ones_though_all_were_told_since) {
  Strict strict;
  Qp& qp = *strict.qp;
  for (uint16_t i = 0; i < 4; ++i) {
    qp.write(strict.frame());
    qp.sq[size_t{i} * 64 + 20] = static_cast<uint8_t>(i + 1);  // of the Ethernet segment: ignored
    qp.ring();
    std::memcpy(strict.half(), &qp.sq[size_t{i} * 64], i == 1 ? 64 : 8);
    if (i == 0) strict.rest();
  }
  EQUAL(violationOf([&] { strict.card.step(); }).size(), 0);
  EQUAL(strict.completed(), 4);
}

TEST(a_completion_queue_is_armed_by_its_register) {
  Strict strict;
  Qp& qp = *strict.qp;
  Cq& cq = strict.sendCq;
  const auto send = [&] {
    const uint16_t index = qp.produced;
    qp.send(strict.frame());
    strict.tell(qp, index);
    strict.rest();
  };
  cq.arm(0);
  send();
  EQUAL(strict.card.events.completions.size(), 0);
  EQUAL(strict.completed(), 1);
  strict.tellArm(cq, 0);
  send();
  EQUAL(strict.card.events.completions.size(), 1);
  // Armed anew in the record alone: what was told before has had its event.
  EQUAL(strict.completed(), 1);
  cq.arm(1);
  send();
  EQUAL(strict.card.events.completions.size(), 1);
  strict.tellArm(cq, 1u << 28 | 2);
  strict.rest();
  EQUAL(strict.card.events.completions.size(), 2);
}

TEST(where_two_completion_queues_are_armed_the_records_count) {
  Strict strict;
  const Cq second(strict.card.nic, 64, 64, strict.registers.arm());
  strict.sendCq.arm(0);
  const uint16_t index = strict.qp->produced;
  strict.qp->send(strict.frame());
  strict.tell(*strict.qp, index);
  strict.rest();
  EQUAL(strict.card.events.completions.size(), 1);
}

TEST(an_arming_ahead_of_its_record_is_an_error_of_the_completion_queue) {
  for (const bool held : {false, true}) {
    for (const bool first : {true, false}) {
      Strict strict;
      Cq& cq = strict.sendCq;
      if (!first) {
        cq.arm(0);
        strict.tellArm(cq, 0);
        EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
      }
      if (held) CHECK(strict.card.nic.atDoor(strict.registers.arm(), 1) == BellState::told);
      strict.tellArm(cq, 1u << 28 | 5);
      if (held) {
        cq.index = 5;
        cq.arm(1);  // before anybody looks
        strict.card.nic.stored(strict.registers.arm(), 1);
      }
      const std::string words = violationOf([&] { strict.card.step(); });
      char expected[200];
      std::snprintf(expected, sizeof expected,
                    "completion queue 0x%06x: its register told of the arming at consumer index 5 (sequence number 1), "
                    "while its doorbell record %s. ",
                    cq.number, first ? "had not been written" : "said 0 (sequence number 0)");
      EQUAL(words.compare(0, std::strlen(expected), expected), 0);
      CHECK(strict.card.events.has(AsyncEventType::cqError, cq.number));
    }
  }
}

TEST(arming_at_the_same_index_again_is_nothing_new) {
  Strict strict;
  Cq& cq = strict.sendCq;
  for (int i = 0; i < 3; ++i) {
    cq.arm(0);
    CHECK(strict.card.nic.atDoor(strict.registers.arm(), 1) == (i == 0 ? BellState::waiting : BellState::told));
    strict.tellArm(cq, 0);
    strict.card.nic.stored(strict.registers.arm(), 1);
    EQUAL(violationOf([&] { strict.rest(); }).size(), 0);
  }
  EQUAL(strict.card.events.events.size(), 0);
}

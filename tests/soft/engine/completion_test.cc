// Completion queues: laps, sizes, events, resizing.
#include "frames.h"

using namespace soft;

TEST(the_owner_bit_flips_with_every_lap) {
  Loop loop(false, 0, 64, 8);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  for (int i = 0; i < 40; ++i) {
    CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge)).size() == 64);
    EQUAL(loop.last[63], MLX5_CQE_RESP_SEND << 4 | (i / 8 & 1));
  }
}

TEST(a_cqe_of_128_bytes_has_its_fields_in_the_second_half) {
  Loop loop(false, 0, 128, 8);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  for (int i = 0; i < 20; ++i) CHECK(loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge)).size() == 64);
  for (size_t i = 0; i < 64; ++i) EQUAL(loop.receiveCq.ring[i], 0);
}

TEST(the_timestamp_is_the_time_of_the_step) {
  Loop loop;
  loop.card.now = 123456789000;
  loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  EQUAL(load64(loop.last + 48), 123456790000);
}

TEST(a_queue_with_a_clock_has_a_time_for_each_entry) {
  static uint64_t time;
  time = 0;
  Card card;
  EQUAL(card.nic.connect(1, makeLoopWire()), 0);
  const auto clock = [] { return ++time * 1000; };
  Cq sends(card.nic, 16, 64, nullptr, CqeCompression::none, clock),
      receives(card.nic, 16, 64, nullptr, CqeCompression::none, clock);
  Region memory(card.nic, card.pd, 1 << 16);
  auto qp = card.rawQp(sends, receives);
  qp->bringUp();
  card.everythingTo(*qp);
  const Bytes frame = ethernet(0x88b5, pattern(50));
  std::copy(frame.begin(), frame.end(), memory.bytes.begin());
  for (size_t i = 0; i < 4; ++i) qp->receive({memory.sge(2048 * (i + 1), 2048)});
  for (size_t i = 0; i < 4; ++i) qp->write(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)));
  qp->ring();
  card.step();
  std::vector<uint64_t> times;
  for (Cq* cq : {&sends, &receives}) {
    for (int i = 0; i < 4; ++i) {
      const uint8_t* cqe = cq->poll();
      CHECK(cqe != nullptr);
      times.push_back(load64(cqe + 48));
    }
  }
  std::sort(times.begin(), times.end());
  for (size_t i = 0; i < 8; ++i) EQUAL(times[i], (i + 1) * 1000);
}

TEST(an_armed_queue_raises_one_event) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  loop.round(wqe);
  CHECK(loop.card.events.completions.empty());  // not armed
  loop.receiveCq.arm(0);
  loop.card.step();
  CHECK(loop.card.events.completions.empty());  // nothing new
  loop.round(wqe);
  EQUAL(loop.card.events.completions.size(), 1);
  EQUAL(loop.card.events.completions[0], loop.receiveCq.number);
  loop.round(wqe);
  EQUAL(loop.card.events.completions.size(), 1);  // not armed again
  loop.receiveCq.arm(0);                          // the same sequence number: its event has been raised
  loop.round(wqe);
  EQUAL(loop.card.events.completions.size(), 1);
  loop.receiveCq.arm(1);
  loop.round(wqe);
  EQUAL(loop.card.events.completions.size(), 2);
}

TEST(moderation_holds_an_event_back_until_so_many_entries) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  const auto& events = loop.card.events.completions;
  EQUAL(loop.card.nic.moderateCompletionQueue(loop.receiveCq.number, 3, 0), 0);
  for (uint32_t sequence = 0; sequence < 3; ++sequence) {
    loop.receiveCq.arm(sequence);
    for (int i = 0; i < 2; ++i) loop.round(wqe);
    loop.card.step(100);
    EQUAL(events.size(), sequence);
    EQUAL(loop.card.nic.deadline(), kNever);
    loop.round(wqe);
    EQUAL(events.size(), sequence + 1);
  }
  // What is held back goes out when moderation ends.
  loop.receiveCq.arm(3);
  loop.round(wqe);
  EQUAL(events.size(), 3);
  EQUAL(loop.card.nic.moderateCompletionQueue(loop.receiveCq.number, 0, 0), 0);
  loop.card.step();
  EQUAL(events.size(), 4);
  EQUAL(loop.card.nic.moderateCompletionQueue(0xffffff, 1, 0), ENOENT);
}

TEST(moderation_holds_an_event_back_for_so_long) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  const auto& events = loop.card.events.completions;
  EQUAL(loop.card.nic.moderateCompletionQueue(loop.receiveCq.number, 100, 50), 0);
  for (uint32_t sequence = 0; sequence < 3; ++sequence) {
    loop.receiveCq.arm(sequence);
    loop.round(wqe);
    EQUAL(events.size(), sequence);
    const uint64_t end = loop.card.nic.deadline();
    CHECK(end > loop.card.now && end <= loop.card.now + 50'000);
    loop.card.nic.step(loop.card.now = end - 1);
    EQUAL(events.size(), sequence);
    loop.card.nic.step(loop.card.now = end);
    EQUAL(events.size(), sequence + 1);
    EQUAL(loop.card.nic.deadline(), kNever);
  }
}

TEST(arming_the_first_time_at_index_zero_counts) {
  Loop loop;
  loop.receiveCq.arm(0);
  EQUAL(loop.receiveCq.doorbell[1], 0);  // the word is 0
  loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  EQUAL(loop.card.events.completions.size(), 1);
}

TEST(arming_behind_an_entry_that_is_there_raises_the_event_at_once) {
  Loop loop;
  loop.post();
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  loop.card.step();
  loop.receiveCq.arm(0);  // not polled yet
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 1);
}

TEST(an_entry_that_was_told_of_raises_no_second_event) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  const auto arrive = [&](int count) {
    for (int i = 0; i < count; ++i) {
      loop.post();
      loop.qp->send(wqe);
    }
    loop.card.step();
  };
  loop.receiveCq.arm(0);
  arrive(1);
  EQUAL(loop.card.events.completions.size(), 1);
  // The driver arms before it polls: at the index of the entry that it was told of.
  loop.receiveCq.arm(1);
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 1);
  arrive(2);
  EQUAL(loop.card.events.completions.size(), 2);
  // Of the second of the two it was not told.
  loop.receiveCq.arm(2);
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 3);
  loop.receiveCq.arm(3);
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 3);
  for (int i = 0; i < 3; ++i) CHECK(loop.receiveCq.poll() != nullptr);
  loop.receiveCq.arm(3);
  arrive(1);
  EQUAL(loop.card.events.completions.size(), 4);
}

TEST(a_driver_may_write_16_bits_of_its_index) {
  Loop loop(false, 0, 64, 8);
  loop.sendCq.indexMask = loop.receiveCq.indexMask = 0xffff;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  for (int i = 0; i < 70000; ++i) loop.round(wqe);
  CHECK(loop.card.events.events.empty());
  EQUAL(loop.qp->state(), QueuePairState::rts);
}

TEST(solicited_only_arming_waits_for_a_solicited_entry) {
  Loop loop;
  loop.receiveCq.arm(0, true);
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  loop.round(wqe);
  CHECK(loop.card.events.completions.empty());  // raw packets are not solicited
}

TEST(an_unsuccessful_completion_counts_as_solicited) {
  Loop loop;
  loop.sendCq.arm(0, true);
  loop.receiveCq.arm(0, true);
  Sge bad = loop.put(ethernet(0x88b5, pattern(50)));
  bad.key ^= 0x5500;
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(bad));
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 1);
  EQUAL(loop.card.events.completions[0], loop.sendCq.number);
  EQUAL(syndrome(loop.sendCq.poll()), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);

  // A completion that is only flushed, of either half.
  loop.sendCq.arm(1, true);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND, 0).eth().data(bad));
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 2);
  EQUAL(syndrome(loop.sendCq.poll()), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  loop.post();
  EQUAL(loop.qp->modify(QueuePairState::err), 0);
  loop.card.step();
  EQUAL(loop.card.events.completions.size(), 3);
  EQUAL(loop.card.events.completions[2], loop.receiveCq.number);
  const uint8_t* flushed = loop.receiveCq.poll();
  EQUAL(syndrome(flushed), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(flushed[63] & 2, 0);  // the bit is the sender's request alone
}

TEST(asking_for_solicited_entries_takes_back_no_wish_for_any) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  for (uint32_t sequence = 0; sequence < 9; ++sequence) {
    loop.card.events.completions.clear();
    loop.receiveCq.arm(sequence & 3, false);
    loop.card.step();  // seen
    loop.receiveCq.arm(sequence & 3, true);
    loop.card.step();
    CHECK(loop.card.events.completions.empty());
    loop.round(wqe);
    EQUAL(loop.card.events.completions.size(), 1);
    loop.round(wqe);  // once
    EQUAL(loop.card.events.completions.size(), 1);
  }
  // The next sequence number begins anew: an arm under the last one does not count.
  loop.card.events.completions.clear();
  loop.receiveCq.arm(1, true);
  loop.round(wqe);
  CHECK(loop.card.events.completions.empty());
  loop.receiveCq.arm(1, false);
  loop.round(wqe);
  EQUAL(loop.card.events.completions.size(), 1);
}

TEST(of_two_wishes_between_two_looks_the_later_is_heard) {
  Loop loop;
  const Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50))));
  loop.receiveCq.arm(0, false);
  loop.receiveCq.arm(0, true);
  loop.round(wqe);
  CHECK(loop.card.events.completions.empty());
}

TEST(a_resized_queue_goes_on_where_the_old_one_ended) {
  Loop loop(false, 0, 64, 8);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  for (int i = 0; i < 5; ++i) loop.round(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.post(2);
  for (int i = 0; i < 2; ++i) loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();  // two entries that stay unpolled: 5 and 6
  Cq& cq = loop.receiveCq;
  Bytes ring(32 * 64);
  for (int i = 0; i < 32; ++i) ring[i * 64 + 63] = MLX5_CQE_INVALID << 4;
  EQUAL(loop.card.nic.resizeCompletionQueue(cq.number, ring.data(), 32, 64), 0);
  EQUAL(cq.ring[7 * 64 + 63] >> 4, MLX5_CQE_RESIZE_CQ);
  // mlx5_cq_resize_copy_cqes.
  uint32_t i = cq.index;
  while (cq.ring[i % 8 * 64 + 63] >> 4 != MLX5_CQE_RESIZE_CQ) {
    std::copy_n(&cq.ring[i % 8 * 64], 64, &ring[(i + 1) % 32 * 64]);
    uint8_t& own = ring[(i + 1) % 32 * 64 + 63];
    own = static_cast<uint8_t>((own & ~1) | ((i + 1) & 32 ? 1 : 0));
    ++i;
  }
  ++cq.index;
  cq.entries = 32;
  cq.ring = ring;
  EQUAL(loop.card.nic.resizeCompletionQueue(cq.number, ring.data(), 31, 64), EINVAL);
  EQUAL(wqeCounter(cq.poll()), 5);
  EQUAL(wqeCounter(cq.poll()), 6);
  CHECK(cq.poll() == nullptr);
}

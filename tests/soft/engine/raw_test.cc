// Raw packet queue pairs: WQE in, frame, CQE out.
#include "frames.h"
#include "nic/icrc.h"

using namespace soft;

TEST(a_frame_and_its_completions_byte_by_byte) {
  Loop loop;
  loop.post();
  const Bytes frame = ethernet(0x88b5, pattern(50));
  const Sge sge = loop.put(frame);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  BYTES(loop.received(), frame.data(), frame.size());
  const uint8_t* sent = loop.sendCq.poll();
  CHECK(sent != nullptr);
  // srqn_uidx at 32, timestamp at 48, sop_drop_qpn at 56 (opcode 0x0a, QP 0x40), wqe_counter, signature, op_own.
  HEX(sent, 64,
      std::string(64, '0') + "0000abcd" + "00000000" "00000000" "00000000" + "00000000000003e8" + "0a000040" "0000" "00" "00");
  const uint8_t* got = loop.receiveCq.poll();
  CHECK(got != nullptr);
  // hds_ip_ext at 28: L2_OK; byte_cnt 64 at 44; sop_drop_qpn: flow tag 0; op_own: RESP_SEND.
  HEX(got, 64,
      std::string(56, '0') + "01000000" + "0000abcd" + "00000000" "00000000" "00000040" + "00000000000003e8" +
          "00000000" "0000" "00" "20");
  CHECK(loop.sendCq.poll() == nullptr);
  CHECK(loop.receiveCq.poll() == nullptr);
}

TEST(many_elements_inline_headers_and_inline_data_make_one_frame) {
  Loop loop;
  const Bytes frame = ethernet(0x88b5, pattern(186));
  const Sge sge = loop.put(frame);
  const uint8_t* at = sge.at;
  Wqe pieces(MLX5_OPCODE_SEND);
  pieces.eth().data({at, 3, sge.key}).data({at + 3, 100, sge.key}).data({at + 103, 97, sge.key});
  CHECK(loop.round(pieces) == frame);
  Wqe header(MLX5_OPCODE_SEND);  // eth_min_inline 18, the rest by pointer
  header.eth(0, Bytes(frame.begin(), frame.begin() + 18)).data({at + 18, 182, sge.key});
  EQUAL(header.bytes.size(), 64);
  CHECK(loop.round(header) == frame);
  Wqe inlined(MLX5_OPCODE_SEND);
  CHECK(loop.round(inlined.eth().inlined(frame)) == frame);
  Wqe mixed(MLX5_OPCODE_SEND);
  mixed.eth(0, Bytes(frame.begin(), frame.begin() + 18)).inlined(Bytes(frame.begin() + 18, frame.begin() + 55));
  CHECK(loop.round(mixed.data({at + 55, 145, sge.key})) == frame);
}

TEST(a_wqe_goes_round_the_end_of_its_ring) {
  Loop loop;  // 16 blocks
  const Bytes frame = ethernet(0x88b5, pattern(286));
  for (int i = 0; i < 40; ++i) {  // 6 blocks each
    const Bytes got = loop.round(Wqe(MLX5_OPCODE_SEND).eth().inlined(frame));
    CHECK(got == frame);
  }
}

TEST(only_signaled_sends_complete_and_the_counter_is_the_first_block) {
  Loop loop;
  loop.post(3);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  loop.qp->write(Wqe(MLX5_OPCODE_SEND, 0).eth().data(sge));
  loop.qp->write(Wqe(MLX5_OPCODE_SEND, 0).eth().data(sge).data(sge).data(sge));  // two blocks
  loop.qp->write(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.qp->ring();
  loop.card.step();
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(wqeCounter(cqe), 3);
  CHECK(loop.sendCq.poll() == nullptr);
  EQUAL(byteCount(loop.receiveCq.poll()), 64);
  EQUAL(byteCount(loop.receiveCq.poll()), 192);
  EQUAL(byteCount(loop.receiveCq.poll()), 64);
}

TEST(a_frame_is_scattered_over_the_elements_of_its_wqe) {
  Loop loop;
  const Bytes frame = ethernet(0x88b5, pattern(186));
  const size_t base = Loop::kReceive;
  loop.qp->receive({loop.memory.sge(base, 14), loop.memory.sge(base + 100, 1), loop.memory.sge(base + 200, 1000)});
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(frame)));
  loop.card.step();
  CHECK(loop.receiveCq.poll() != nullptr);
  BYTES(loop.memory.bytes.data() + base, frame.data(), 14);
  BYTES(loop.memory.bytes.data() + base + 100, frame.data() + 14, 1);
  BYTES(loop.memory.bytes.data() + base + 200, frame.data() + 15, 185);
}

TEST(nop_completes_and_sends_nothing) {
  Loop loop;
  loop.qp->send(Wqe(MLX5_OPCODE_NOP));
  loop.card.step();
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(cqe[56], MLX5_OPCODE_NOP);
  EQUAL(loop.card.counters().transmitFrames, 0);
}

TEST(without_a_posted_wqe_a_frame_is_lost_and_counted) {
  Loop loop;
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(loop.put(ethernet(0x88b5, pattern(50)))));
  loop.card.step();
  CHECK(loop.receiveCq.poll() == nullptr);
  EQUAL(loop.card.counters().receiveNoBuffer, 1);
  EQUAL(loop.card.counters().transmitBytes, 64);
}

TEST(nothing_is_received_before_rtr_and_nothing_sent_before_rts) {
  Loop loop;
  auto qp = loop.card.rawQp(loop.sendCq, loop.receiveCq);
  EQUAL(qp->modify(QueuePairState::rts), EINVAL);
  EQUAL(qp->modify(QueuePairState::init), 0);
  const Sge sge = loop.put(ethernet(0x88b5, pattern(50)));
  qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  EQUAL(loop.card.counters().transmitFrames, 0);
  EQUAL(qp->modify(QueuePairState::rtr), 0);
  loop.card.step();
  EQUAL(loop.card.counters().transmitFrames, 0);
  EQUAL(qp->modify(QueuePairState::rts), 0);
  loop.card.step();
  EQUAL(loop.card.counters().transmitFrames, 1);
  EQUAL(qp->modify(QueuePairState::reset), 0);
  EQUAL(loop.card.nic.destroyQueuePair(qp->number), 0);
  EQUAL(loop.card.nic.destroyQueuePair(qp->number), ENOENT);
}

TEST(vlan_tags_are_inserted_and_stripped) {
  const Bytes frame = ethernet(0x88b5, pattern(50));
  const Bytes with = tagged(0x6123, 0x88b5, pattern(50));
  Loop plain;
  CHECK(plain.round(Wqe(MLX5_OPCODE_SEND).eth().insertVlan(0x6123).data(plain.put(frame))) == with);
  EQUAL(plain.last[29] & 1, 0);
  Loop strip(true);
  CHECK(strip.round(Wqe(MLX5_OPCODE_SEND).eth().data(strip.put(with))) == frame);
  EQUAL(strip.last[29] & 1, 1);  // cv
  EQUAL(load16(strip.last + 30), 0x6123);
  CHECK(strip.round(Wqe(MLX5_OPCODE_SEND).eth().data(strip.put(frame))) == frame);
  EQUAL(strip.last[29] & 1, 0);
}

TEST(a_runt_on_the_wire_is_lost) {
  Loop loop;
  loop.post(2);
  auto wire = makeLoopWire();
  EQUAL(loop.card.nic.connect(1, wire), 0);
  for (const size_t size : {0, 1, 13, 14}) {
    std::memset(wire->end(0).transmit->reserve(size), 0xff, size);
    wire->end(0).transmit->commit(size);
  }
  loop.card.step();
  EQUAL(byteCount(loop.receiveCq.poll()), 14);
  CHECK(loop.receiveCq.poll() == nullptr);
  EQUAL(loop.card.counters().receiveUnmatched, 3);
}

TEST(the_frame_check_sequence_is_delivered_where_it_is_asked_for) {
  Card card;
  EQUAL(card.nic.connect(1, makeLoopWire()), 0);
  Cq cq(card.nic, 64), received(card.nic, 64);
  Region memory(card.nic, card.pd, 8192);
  QueuePairAttributes attributes;
  attributes.type = QueuePairType::rawPacket;
  attributes.pd = card.pd;
  attributes.sendCq = cq.number;
  attributes.receiveCq = received.number;
  attributes.scatterFcs = true;
  Qp qp(card.nic, attributes, 16, 16, 6);
  qp.bringUp();
  card.everythingTo(qp);
  qp.receive({memory.sge(4096, 2048)});
  // "123456789" ends the frame: the CRC of a message and then its CRC is a constant (IEEE 802.3).
  const Bytes frame = ethernet(0x88b5, pattern(41) + Bytes{'1', '2', '3', '4', '5', '6', '7', '8', '9'});
  std::copy(frame.begin(), frame.end(), memory.bytes.begin());
  qp.send(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, static_cast<uint32_t>(frame.size()))));
  card.step();
  EQUAL(byteCount(received.poll()), frame.size() + 4);
  EQUAL(crc32(reinterpret_cast<const uint8_t*>("123456789"), 9), 0xcbf43926);
  EQUAL(crc32(memory.bytes.data() + 4096, frame.size() + 4), 0x2144df1c);  // the residue
}

TEST(a_short_inline_header_is_refused_where_the_card_needs_eighteen_bytes) {
  Loop loop(false, 18);
  const Bytes frame = ethernet(0x88b5, pattern(50));
  const Sge sge = loop.put(frame);
  Wqe good(MLX5_OPCODE_SEND);
  good.eth(0, Bytes(frame.begin(), frame.begin() + 18)).data({sge.at + 18, sge.length - 18, sge.key});
  CHECK(loop.round(good) == frame);
  loop.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(sge));
  loop.card.step();
  const uint8_t* cqe = loop.sendCq.poll();
  CHECK(cqe != nullptr);
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
  EQUAL(syndrome(cqe), MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
}

TEST(a_stalled_wire_keeps_frames_in_order_and_loses_none) {
  Card card(2);
  auto wire = makePairWire();
  EQUAL(card.nic.connect(1, wire, 0), 0);
  const WireEnd other = wire->end(1);  // the other end is connected, and does not read
  Cq sendCq(card.nic, 1024), receiveCq(card.nic, 64);
  auto qp = card.rawQp(sendCq, receiveCq, false, 512);
  qp->bringUp();
  Region memory(card.nic, card.pd, 1 << 14);
  for (int i = 0; i < 256; ++i) qp->write(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 9000)));
  qp->ring();
  card.step(10);
  const uint64_t first = card.counters().transmitFrames;
  CHECK(first > 20 && first < 256);
  size_t length, count = 0;
  for (int i = 0; i < 50; ++i) {
    while (other.receive->front(&length) != nullptr) {
      EQUAL(length, 9000);
      other.receive->pop();
      ++count;
    }
    card.step();
  }
  EQUAL(count, 256);
  for (int i = 0; i < 256; ++i) EQUAL(wqeCounter(sendCq.poll()), i);
}

// One send WQE, many frames: the enhanced form (a segment a frame) and the older one (a length for all).
#include <functional>
#include <random>

#include "frames.h"

using namespace soft;

namespace {

// Of mlx5_prm.h (DPDK): MLX5_OPC_MOD_MPW.
Wqe olderForm(uint16_t length, uint8_t checksums = 0) {
  Wqe wqe(MLX5_OPCODE_TSO);
  wqe.bytes[0] = 1;
  return wqe.eth(checksums, {}, length);
}
Wqe enhancedForm(uint8_t checksums = 0, uint8_t flags = MLX5_WQE_CTRL_CQ_UPDATE) {
  return Wqe(0x29, flags).eth(checksums);
}

struct ManyFrames {
  explicit ManyFrames(uint32_t minimumInline = 0, std::shared_ptr<Wire> wire = makeLoopWire(), uint32_t slot = 1024)
      : card(1, minimumInline),
        sendCq(card.nic, 128),
        receiveCq(card.nic, 128),
        memory(card.nic, card.pd, kReceive + 64 * slot),
        slot(slot) {
    EQUAL(card.nic.connect(1, std::move(wire)), 0);
    qp = card.rawQp(sendCq, receiveCq, false, 64, 64);
    qp->bringUp();
    card.everythingTo(*qp);
    for (uint32_t i = 0; i < 64; ++i) post();
  }
  void post() { qp->receive({memory.sge(kReceive + qp->posted % 64u * slot, slot)}); }
  Sge put(const Bytes& frame) {
    std::copy(frame.begin(), frame.end(), memory.bytes.begin() + static_cast<long>(put_));
    const Sge sge = memory.sge(put_, static_cast<uint32_t>(frame.size()));
    put_ = (put_ + frame.size()) % (kReceive - 2048);
    return sge;
  }
  // The next frame received; empty when there is none.
  Bytes next() {
    const uint8_t* cqe = receiveCq.poll();
    if (cqe == nullptr) return {};
    EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
    const uint8_t* at = memory.bytes.data() + kReceive + wqeCounter(cqe) % 64u * slot;
    const Bytes frame(at, at + byteCount(cqe));
    post();
    return frame;
  }
  // The one entry for a WQE that is done.
  void expectDone(uint8_t opcode, uint16_t index) {
    const uint8_t* cqe = sendCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
    EQUAL(cqe[56], opcode);
    EQUAL(wqeCounter(cqe), index);
    CHECK(sendCq.poll() == nullptr);
  }
  void expectError(int expected) {
    const uint8_t* cqe = sendCq.poll();
    CHECK(cqe != nullptr);
    EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ_ERR);
    EQUAL(syndrome(cqe), expected);
    EQUAL(static_cast<int>(qp->state()), static_cast<int>(QueuePairState::sqe));
    EQUAL(qp->modify(QueuePairState::rts), 0);
  }

  static constexpr size_t kReceive = 1 << 16;
  Card card;
  Cq sendCq, receiveCq;
  Region memory;
  uint32_t slot;
  std::unique_ptr<Qp> qp;
  size_t put_ = 0;
};

}  // namespace

TEST(each_segment_of_an_enhanced_wqe_is_a_frame) {
  ManyFrames bed;
  const Bytes first = ethernet(0x88b5, pattern(50)), second = ethernet(0x88b5, pattern(333, 9)),
              third = ethernet(0x88b5, pattern(70, 77));
  bed.qp->send(enhancedForm().data(bed.put(first)).inlined(second).data(bed.put(third)));
  bed.qp->send(enhancedForm().inlined(third));
  bed.card.step();
  const uint8_t* cqe = bed.sendCq.poll();
  EQUAL(cqeOpcode(cqe), MLX5_CQE_REQ);
  EQUAL(wqeCounter(cqe), 0);
  bed.expectDone(0x29, 7);  // 16 + 16 + 16 + 352 + 16 bytes: seven blocks
  for (const Bytes& frame : {first, second, third, third}) CHECK(bed.next() == frame);
  CHECK(bed.next().empty());
}

TEST(sixty_one_frames_are_the_most) {
  ManyFrames bed;
  Wqe wqe = enhancedForm();
  std::vector<Bytes> frames;
  for (uint8_t i = 0; i < 61; ++i) {
    frames.push_back(ethernet(0x88b5, pattern(46 + i, i)));
    wqe.data(bed.put(frames.back()));
  }
  bed.qp->send(wqe);
  bed.card.step();
  bed.expectDone(0x29, 0);
  for (const Bytes& frame : frames) CHECK(bed.next() == frame);
}

TEST(one_ethernet_segment_asks_for_the_checksums_of_all) {
  ManyFrames bed;
  const auto packet = [](uint8_t seed, bool good) {
    const Bytes payload = pattern(40, seed), bare = udp(1, 2, payload);
    return ethernet(0x0800, ipv4(17, udp(1, 2, payload, good ? l4Sum(17, kFrom, kTo, bare) : 0), kFrom, kTo, good));
  };
  bed.qp->send(enhancedForm(kEthL3Checksum | kEthL4Checksum).data(bed.put(packet(1, false))).inlined(packet(2, false)));
  bed.card.step();
  CHECK(bed.next() == packet(1, true));
  CHECK(bed.next() == packet(2, true));
}

TEST(the_older_form_is_cut_by_its_length) {
  ManyFrames bed;
  const Bytes first = ethernet(0x88b5, pattern(46)), second = ethernet(0x88b5, pattern(46, 9)),
              third = ethernet(0x88b5, pattern(46, 77));
  bed.qp->send(olderForm(60).data(bed.put(first)).data(bed.put(second)).data(bed.put(third)));
  bed.qp->send(olderForm(60).inlined(first + second + third));
  bed.card.step();
  EQUAL(wqeCounter(bed.sendCq.poll()), 0);
  bed.expectDone(MLX5_OPCODE_TSO, 2);
  for (const Bytes& frame : {first, second, third, first, second, third}) CHECK(bed.next() == frame);
  CHECK(bed.next().empty());
}

TEST(a_full_wire_stops_between_two_frames_and_goes_on_there) {
  LinkOptions link;
  link.loop = true;
  link.direction[0].bitsPerSecond = 1'000'000'000;
  ManyFrames bed(0, makeLinkWire(link), 16384);
  std::vector<Bytes> distinct, frames;
  std::vector<Sge> sges;
  for (uint8_t i = 0; i < 7; ++i) {
    distinct.push_back(ethernet(0x88b5, pattern(8886 + i, i)));
    sges.push_back(bed.put(distinct.back()));
  }
  for (int round = 0; round < 4; ++round) {
    Wqe wqe = enhancedForm();
    for (int i = 0; i < 15; ++i) {
      const size_t which = frames.size() % 7;
      wqe.data(sges[which]);
      frames.push_back(distinct[which]);
    }
    bed.qp->send(wqe);
  }
  bed.card.step();
  for (int round = 0; round < 3; ++round) EQUAL(cqeOpcode(bed.sendCq.poll()), MLX5_CQE_REQ);
  CHECK(bed.sendCq.poll() == nullptr);  // the wire is full: 60 frames are more than its half megabyte
  size_t received = 0;
  for (int i = 0; i < 10000 && received < frames.size(); ++i) {
    bed.card.step();
    for (Bytes frame = bed.next(); !frame.empty(); frame = bed.next()) CHECK(frame == frames[received++]);
  }
  EQUAL(received, frames.size());
  EQUAL(cqeOpcode(bed.sendCq.poll()), MLX5_CQE_REQ);
}

TEST(what_makes_no_sense_in_a_wqe_of_many_frames_is_refused) {
  const Bytes frame = ethernet(0x88b5, pattern(50));
  const auto refused = [&](const std::function<Wqe(ManyFrames&)>& make, int expected, size_t sent = 0) {
    ManyFrames bed;
    bed.qp->send(make(bed));
    bed.card.step();
    bed.expectError(expected);
    for (size_t i = 0; i < sent; ++i) CHECK(bed.next() == frame);
    CHECK(bed.next().empty());
    // It harms nothing but itself.
    bed.qp->send(enhancedForm().data(bed.put(frame)));
    bed.card.step();
    CHECK(bed.next() == frame);
  };
  refused([](ManyFrames&) { return enhancedForm(); }, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([](ManyFrames&) { return Wqe(0x29); }, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([&](ManyFrames& bed) { return Wqe(0x29).eth(0, pattern(18)).data(bed.put(frame)); },
          MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([&](ManyFrames& bed) { return enhancedForm().insertVlan(5).data(bed.put(frame)); },
          MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused(
      [&](ManyFrames& bed) {
        Sge bad = bed.put(frame);
        bad.key ^= 0x5500;
        return enhancedForm().data(bed.put(frame)).data(bad);
      },
      MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
  refused(
      [&](ManyFrames& bed) { return enhancedForm().data(bed.put(frame)).inlined(pattern(13)).data(bed.put(frame)); },
      MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, 1);
  refused([&](ManyFrames& bed) { return enhancedForm().data(bed.put(frame)).data(bed.memory.sge(0, 11000)); },
          MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, 1);
  refused(
      [&](ManyFrames& bed) {  // inline data beyond the WQE
        Wqe wqe = enhancedForm().inlined(frame);
        store32(&wqe.bytes[32], 0x90 | MLX5_INLINE_SEG);
        return wqe.data(bed.put(frame));
      },
      MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([&](ManyFrames& bed) { return olderForm(0).data(bed.put(frame)); }, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([&](ManyFrames& bed) { return olderForm(60).data(bed.put(frame)); }, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  refused([&](ManyFrames& bed) { return olderForm(13).data(bed.memory.sge(0, 26)); },
          MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
}

TEST(where_a_header_must_be_inline_all_of_each_frame_is) {
  const Bytes frame = ethernet(0x88b5, pattern(50));
  for (const bool older : {false, true}) {
    ManyFrames bed(18);
    const auto wqe = [&] { return older ? olderForm(64) : enhancedForm(); };
    bed.qp->send(wqe().inlined(frame));
    bed.card.step();
    CHECK(bed.next() == frame);
    CHECK(bed.sendCq.poll() != nullptr);
    bed.qp->send(wqe().data(bed.put(frame)));
    bed.card.step();
    bed.expectError(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
    CHECK(bed.next().empty());
  }
}

TEST(no_tag_is_inserted_where_a_header_must_be_inline) {
  const Bytes frame = ethernet(0x88b5, pattern(50));
  ManyFrames bed(18);
  bed.qp->send(Wqe(MLX5_OPCODE_SEND).eth().insertVlan(5).data(bed.put(frame)));
  bed.card.step();
  bed.expectError(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR);
  CHECK(bed.next().empty());
}

TEST(any_mix_of_forms_arrives_in_order) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    std::mt19937 random(seed);
    ManyFrames bed;
    for (int round = 0; round < 400; ++round) {
      std::vector<Bytes> frames;
      const auto make = [&](size_t length) {
        frames.push_back(ethernet(0x88b5, pattern(length - 14, static_cast<uint8_t>(random()))));
        return frames.back();
      };
      size_t wqes = 0;
      while (frames.size() < 40 && random() % 4 != 0) {
        ++wqes;
        switch (random() % 3) {
          case 0: bed.qp->send(Wqe(MLX5_OPCODE_SEND).eth().data(bed.put(make(60 + random() % 500)))); break;
          case 1: {
            Wqe wqe = enhancedForm();
            for (size_t i = 1 + random() % 12; i != 0; --i) {
              if (random() % 4 == 0) {
                wqe.inlined(make(60));
              } else {
                wqe.data(bed.put(make(60 + random() % 500)));
              }
            }
            bed.qp->send(wqe);
            break;
          }
          default: {
            const size_t length = 60 + random() % 100;
            Wqe wqe = olderForm(static_cast<uint16_t>(length));
            for (size_t i = 1 + random() % 5; i != 0; --i) wqe.data(bed.put(make(length)));
            bed.qp->send(wqe);
            break;
          }
        }
      }
      bed.card.step(2);
      for (; wqes != 0; --wqes) EQUAL(cqeOpcode(bed.sendCq.poll()), MLX5_CQE_REQ);
      for (const Bytes& frame : frames) CHECK(bed.next() == frame);
      CHECK(bed.next().empty());
    }
  }
}

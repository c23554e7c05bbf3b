// Local loopback: which frames of a port come back to the port's other contexts.
#include "work_queue.h"

using namespace soft;

namespace {

const Bytes kGroup{1, 0x50, 0x56, 0x19, 0x20, 0xa7}, kOwn{2, 0, 0, 0, 0, 1}, kElsewhere{2, 0, 0, 0, 0, 77};

// A context's raw packet queue pair on port 1, with every frame steered to it.
struct Party {
  Party(Card& card, uint32_t transportDomain, bool ownUnicast = false, bool ownGroups = false, uint8_t port = 1)
      : sendCq(card.nic, 64), receiveCq(card.nic, 64), memory(card.nic, card.pd, 1 << 16) {
    QueuePairAttributes attributes;
    attributes.type = QueuePairType::rawPacket;
    attributes.pd = card.pd;
    attributes.sendCq = sendCq.number;
    attributes.receiveCq = receiveCq.number;
    attributes.transportDomain = transportDomain;
    attributes.ownUnicast = ownUnicast;
    attributes.ownGroups = ownGroups;
    qp = std::make_unique<Qp>(card.nic, attributes, 16, 16, 4);
    qp->bringUp(port);
    card.everythingTo(*qp, port);
    for (size_t i = 0; i < 16; ++i) qp->receive({memory.sge(i * 2048, 2048)});
  }
  void send(const Bytes& frame) { qp->send(Wqe(MLX5_OPCODE_SEND).eth().inlined(frame)); }
  // How many copies of the frame came.
  int copies(const Bytes& frame) {
    int count = 0;
    while (const uint8_t* cqe = receiveCq.poll()) {
      EQUAL(cqeOpcode(cqe), MLX5_CQE_RESP_SEND);
      EQUAL(byteCount(cqe), frame.size());
      BYTES(memory.bytes.data() + wqeCounter(cqe) % 16 * 2048, frame.data(), frame.size());
      ++count;
    }
    return count;
  }

  Cq sendCq, receiveCq;
  Region memory;
  std::unique_ptr<Qp> qp;
};

// Two ports of one card, joined by a wire.
struct Joined : Card {
  Joined() : Card(2) {
    const auto wire = makePairWire();
    EQUAL(nic.connect(1, wire, 0), 0);
    EQUAL(nic.connect(2, wire, 1), 0);
  }
  uint32_t domain() {
    uint32_t number;
    nic.allocateTransportDomain(&number);
    return number;
  }
};

}  // namespace

TEST(what_is_for_a_group_comes_to_the_other_contexts_and_leaves) {
  Joined card;
  Party first(card, card.domain()), second(card, card.domain()), peer(card, 0, false, false, 2);
  const Bytes frame = ethernet(0x88b5, pattern(60), kGroup);
  first.send(frame);
  card.step(2);
  EQUAL(second.copies(frame), 1);
  EQUAL(peer.copies(frame), 1);
  EQUAL(first.copies(frame), 0);
}

TEST(what_is_for_the_port_itself_stays_inside_and_the_rest_leaves_alone) {
  Joined card;
  Party first(card, card.domain()), second(card, card.domain()), peer(card, 0, false, false, 2);
  Bytes frame = ethernet(0x88b5, pattern(60), kOwn);
  first.send(frame);
  card.step(2);
  EQUAL(second.copies(frame), 1);
  EQUAL(peer.copies(frame) + first.copies(frame), 0);
  frame = ethernet(0x88b5, pattern(61), kElsewhere);
  first.send(frame);
  card.step(2);
  EQUAL(peer.copies(frame), 1);
  EQUAL(second.copies(frame) + first.copies(frame), 0);
}

TEST(a_port_with_one_context_has_no_loopback) {
  Joined card;
  Party first(card, card.domain()), peer(card, 0, false, false, 2);
  for (const Bytes& destination : {kGroup, kOwn}) {
    const Bytes frame = ethernet(0x88b5, pattern(60), destination);
    first.send(frame);
    card.step(2);
    EQUAL(peer.copies(frame), 1);
    EQUAL(first.copies(frame), 0);
  }
  // Nor again once the second is gone.
  card.domain();
  card.nic.freeTransportDomain();
  const Bytes frame = ethernet(0x88b5, pattern(60), kOwn);
  first.send(frame);
  card.step(2);
  EQUAL(peer.copies(frame), 1);
}

TEST(a_queue_pair_hears_its_own_frames_where_it_asks_for_them) {
  for (const bool unicast : {false, true}) {
    Joined card;
    Party own(card, card.domain(), unicast, !unicast);
    const Bytes group = ethernet(0x88b5, pattern(60), kGroup), single = ethernet(0x88b5, pattern(60), kOwn);
    own.send(group);
    card.step(2);
    EQUAL(own.copies(group), unicast ? 0 : 1);
    own.send(single);
    card.step(2);
    EQUAL(own.copies(single), unicast ? 1 : 0);
  }
}

TEST(a_wire_that_returns_frames_brings_one_copy) {
  Card card;
  EQUAL(card.nic.connect(1, makeLoopWire()), 0);
  uint32_t domain;
  card.nic.allocateTransportDomain(&domain);
  Party first(card, domain);
  card.nic.allocateTransportDomain(&domain);
  Party second(card, domain);
  for (const Bytes& destination : {kGroup, kOwn}) {
    const Bytes frame = ethernet(0x88b5, pattern(60), destination);
    first.send(frame);
    card.step(2);
    EQUAL(second.copies(frame), 1);
    EQUAL(first.copies(frame), 1);
  }
}

TEST(a_frame_too_long_for_its_senders_own_receive_stops_it) {
  Joined card;
  Party own(card, card.domain(), true, true);
  // Its receives have room for 2048 bytes: the second frame puts it into error, the third is not sent.
  const Bytes frame = ethernet(0x88b5, pattern(60), kGroup);
  own.send(frame);
  own.qp->send(
      Wqe(MLX5_OPCODE_SEND).eth(0, kGroup + Bytes{2, 0, 0, 0, 0, 9} + be16(0x88b5)).data(own.memory.sge(0, 3000)));
  own.send(frame);
  card.step(2);
  EQUAL(cqeOpcode(own.receiveCq.poll()), MLX5_CQE_RESP_SEND);
  const uint8_t* error = own.receiveCq.poll();
  EQUAL(syndrome(error), MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR);
  EQUAL(cqeOpcode(own.sendCq.poll()), MLX5_CQE_REQ);
  EQUAL(cqeOpcode(own.sendCq.poll()), MLX5_CQE_REQ);
  EQUAL(syndrome(own.sendCq.poll()), MLX5_CQE_SYNDROME_WR_FLUSH_ERR);
  EQUAL(card.counters(1).transmitFrames, 2);
}

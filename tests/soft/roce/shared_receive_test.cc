// Shared receive queues: one linked list of buffers for many queue pairs.
#include "peers.h"

using namespace soft;

namespace {

// As libmlx5 lays it out (mlx5_alloc_srq_buf, mlx5_post_srq_recv): each WQE names the next.
struct Srq {
  explicit Srq(Card& card, uint32_t count = 16, uint32_t limit = 0) : count(count), ring(count * 64) {
    for (uint32_t i = 0; i < count; ++i) store16(&ring[i * 64 + 2], static_cast<uint16_t>((i + 1) % count));
    SharedReceiveQueueAttributes attributes;
    attributes.pd = card.pd;
    attributes.ring.buffer = ring.data();
    attributes.ring.count = count;
    attributes.ring.strideShift = 6;
    attributes.ring.doorbell = doorbell;
    attributes.limit = limit;
    EQUAL(card.nic.createSharedReceiveQueue(attributes, &number), 0);
  }
  uint32_t post(const Sge& sge) {
    const uint32_t slot = head;
    uint8_t* at = &ring[slot * 64];
    head = load16(at + 2);
    store32(at + 16, sge.length);
    store32(at + 20, sge.key);
    store64(at + 24, reinterpret_cast<uint64_t>(sge.at));
    store32(at + 32, 0);
    store32(at + 36, MLX5_INVALID_LKEY);
    doorbell[0] = __builtin_bswap32(++posted);
    return slot;
  }
  uint32_t count, number = 0, head = 0, posted = 0;
  Bytes ring;
  alignas(64) uint32_t doorbell[2] = {};
};

// Two peers, of which b receives from an SRQ.
struct SharedPeers {
  SharedPeers() : peers(), srq(peers.card) {
    first = connect(1);
    second = connect(2);
  }
  struct Pair {
    std::unique_ptr<Qp> a, b;
  };
  Pair connect(uint32_t) {
    Pair pair{peers.create(peers.a, 0), peers.create(peers.b, srq.number)};
    peers.bringUp(*pair.a, 1, pair.b->number);
    peers.bringUp(*pair.b, 2, pair.a->number);
    return pair;
  }
  Peers peers;
  Srq srq;
  Pair first, second;
};

}  // namespace

TEST(two_queue_pairs_take_from_one_queue_in_the_order_of_arrival) {
  SharedPeers shared;
  Peers& peers = shared.peers;
  for (size_t i = 0; i < 4; ++i) shared.srq.post(peers.b.memory.sge(i * 4096, 4096));
  shared.second.a->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8, 1)));
  peers.settle();
  shared.first.a->send(Wqe(MLX5_OPCODE_SEND).data(peers.a.put(pattern(3000, 2))));
  peers.settle();
  const uint8_t* cqe = peers.b.receiveCq.poll();
  EQUAL(load24(cqe + 57), shared.second.b->number);
  EQUAL(wqeCounter(cqe), 0);
  cqe = peers.b.receiveCq.poll();
  EQUAL(load24(cqe + 57), shared.first.b->number);
  EQUAL(wqeCounter(cqe), 1);
  CHECK(peers.b.bytes(0, 8) == pattern(8, 1));
  CHECK(peers.b.bytes(4096, 3000) == pattern(3000, 2));
}

TEST(an_empty_shared_queue_is_not_ready_and_refilled_goes_on) {
  SharedPeers shared;
  Peers& peers = shared.peers;
  shared.first.a->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  peers.settle();
  EQUAL(aethOf(peers.wire->seen[1].frame), 0x21);
  for (uint32_t i = 0; i < 40; ++i) {  // more than twice around the list
    shared.srq.post(peers.b.memory.sge(0, 64));
    if (i != 0) shared.second.a->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8, static_cast<uint8_t>(i))));
    const uint8_t* got = peers.next(peers.b.receiveCq);
    EQUAL(wqeCounter(got), i % 16);
    CHECK(peers.b.bytes(0, 8) == pattern(8, i == 0 ? 1 : static_cast<uint8_t>(i)));
    CHECK(peers.next(peers.a.sendCq) != nullptr);
  }
}

TEST(the_limit_event_comes_once) {
  SharedPeers shared;
  Peers& peers = shared.peers;
  for (size_t i = 0; i < 4; ++i) shared.srq.post(peers.b.memory.sge(0, 64));
  EQUAL(peers.card.nic.setSharedReceiveQueueLimit(shared.srq.number, 3), 0);
  const auto events = [&] {
    size_t count = 0;
    for (const AsyncEvent& event : peers.card.events.events) count += event.type == AsyncEventType::srqLimitReached;
    return count;
  };
  const auto send = [&] {
    shared.first.a->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
    peers.settle();
  };
  send();
  EQUAL(events(), 0);  // three are left
  send();
  EQUAL(events(), 1);
  uint32_t limit = 99;
  EQUAL(peers.card.nic.sharedReceiveQueueLimit(shared.srq.number, &limit), 0);
  EQUAL(limit, 0);
  send();
  EQUAL(events(), 1);
}

TEST(a_queue_pair_in_error_leaves_the_shared_queue_alone_and_says_when_it_is_done) {
  SharedPeers shared;
  Peers& peers = shared.peers;
  peers.card.events.events.clear();
  for (size_t i = 0; i < 2; ++i) shared.srq.post(peers.b.memory.sge(0, 64));
  EQUAL(shared.first.b->modify(QueuePairState::err), 0);
  peers.settle();
  CHECK(peers.card.events.has(AsyncEventType::qpLastWqeReached, shared.first.b->number));
  peers.silent(peers.b.receiveCq);
  shared.second.a->send(Wqe(MLX5_OPCODE_SEND).inlined(pattern(8)));
  EQUAL(wqeCounter(peers.next(peers.b.receiveCq)), 0);
  EQUAL(peers.card.nic.destroySharedReceiveQueue(shared.srq.number), EBUSY);
}

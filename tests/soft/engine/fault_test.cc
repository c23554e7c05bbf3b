// Memory that disappears under the NIC: unmapped, protected, a truncated file. The request that uses it fails, and
// nothing else does.
#include <map>

#include "frames.h"
#include "nic/fault_handler.h"
#include "nic/guarded.h"
#include "pages.h"

using namespace soft;

namespace {

// A raw packet queue pair that receives its own frames, with each of its parts in pages of its own.
struct Parts {
  Parts() {
    keepFaultHandler();
    EQUAL(card.nic.connect(1, makeLoopWire()), 0);
    MemoryRegionAttributes region;
    region.pd = card.pd;
    region.base = part["payload"].at;
    region.iova = reinterpret_cast<uint64_t>(region.base);
    region.length = Pages::kSize;
    region.access = IBV_ACCESS_LOCAL_WRITE;
    EQUAL(card.nic.createMemoryRegion(region, &key), 0);
    region.base = part["buffer"].at;
    region.iova = reinterpret_cast<uint64_t>(region.base);
    EQUAL(card.nic.createMemoryRegion(region, &bufferKey), 0);
    for (const bool send : {true, false}) {
      CompletionQueueAttributes cq;
      uint8_t* ring = part[send ? "send CQ" : "receive CQ"].at;
      for (int i = 0; i < 64; ++i) ring[i * 64 + 63] = MLX5_CQE_INVALID << 4;
      cq.buffer = ring;
      cq.entries = 64;
      cq.doorbell = part[send ? "send CQ record" : "receive CQ record"].at;
      EQUAL(card.nic.createCompletionQueue(cq, &cqn[send ? 0 : 1]), 0);
    }
    QueuePairAttributes qp;
    qp.type = QueuePairType::rawPacket;
    qp.pd = card.pd;
    qp.sendCq = cqn[0];
    qp.receiveCq = cqn[1];
    qp.sq = {part["send ring"].at, 64, part["send record"].at, nullptr};
    qp.rq.buffer = part["receive ring"].at;
    qp.rq.count = 64;
    qp.rq.doorbell = part["receive record"].at;
    EQUAL(card.nic.createQueuePair(qp, &qpn), 0);
    for (const QueuePairState state : {QueuePairState::init, QueuePairState::rtr, QueuePairState::rts}) {
      QueuePairChange change;
      change.mask = IBV_QP_STATE | IBV_QP_PORT;
      change.port = 1;
      change.state = state;
      EQUAL(card.nic.modifyQueuePair(qpn, change), 0);
    }
    FlowRule rule;
    rule.type = FlowType::allDefault;
    rule.qpn = qpn;
    card.flow(rule);
  }
  void post() {
    uint8_t* at = part["receive ring"].at + posted % 64 * 16;
    store32(at, 2048);
    store32(at + 4, bufferKey);
    store64(at + 8, reinterpret_cast<uint64_t>(part["buffer"].at));
    store32(part["receive record"].at, ++posted);
  }
  void write() {
    Wqe wqe = Wqe(MLX5_OPCODE_SEND).eth().data({part["payload"].at, 64, key});
    store16(&wqe.bytes[1], produced);
    store32(&wqe.bytes[4], qpn << 8 | 3);
    std::copy(wqe.bytes.begin(), wqe.bytes.end(), part["send ring"].at + produced % 64 * 64);
    ++produced;
  }
  void ring() { store32(part["send record"].at, produced); }
  // The opcode of entry `index` and its syndrome; −1: there is none.
  int opcode(const char* cq, int index) {
    const int opcode = part[cq].at[index * 64 + 63] >> 4;
    return opcode == MLX5_CQE_INVALID ? -1 : opcode;
  }
  int syndromeOf(const char* cq, int index) { return part[cq].at[index * 64 + 55]; }
  QueuePairState state() {
    QueuePairStatus status;
    EQUAL(card.nic.queryQueuePair(qpn, &status), 0);
    return status.state;
  }
  void round() {
    post();
    write();
    ring();
    card.step(3);
    EQUAL(opcode("send CQ", 0), MLX5_CQE_REQ);
    EQUAL(opcode("receive CQ", 0), MLX5_CQE_RESP_SEND);
  }
  size_t count(AsyncEventType type) {
    return static_cast<size_t>(std::count_if(card.events.events.begin(), card.events.events.end(),
                                             [type](const AsyncEvent& event) { return event.type == type; }));
  }

  std::map<std::string, Pages> part;
  Card card;
  uint32_t key = 0, bufferKey = 0, cqn[2] = {}, qpn = 0;
  uint16_t produced = 0;
  uint32_t posted = 0;
};

}  // namespace

TEST(a_copy_stops_where_the_memory_ends) {
  keepFaultHandler();
  Pages pages;
  pages.take(Way::protect, Pages::kPage);
  Bytes other(9000), expected(9000);
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<uint8_t>(i * 7 + i / 251);
  for (size_t length = 0; length <= 300; ++length) {
    std::copy_n(expected.begin(), length, pages.at + Pages::kPage - length);
    std::fill(other.begin(), other.end(), 0);
    CHECK(guardedCopy(other.data() + 1, pages.at + Pages::kPage - length, length));
    CHECK(std::equal(expected.begin(), expected.begin() + static_cast<long>(length), other.begin() + 1));
    EQUAL(other[0], 0);
    EQUAL(other[length + 1], 0);
    for (const auto copy : {guardedCopy, guardedLand}) {
      std::fill_n(pages.at, Pages::kPage, uint8_t{0});
      CHECK(copy(pages.at + Pages::kPage - length, expected.data(), length));
      CHECK(
          std::equal(expected.begin(), expected.begin() + static_cast<long>(length), pages.at + Pages::kPage - length));
    }
    if (length == 0) continue;
    for (size_t beyond = 1; beyond <= length; beyond += 1 + length / 9) {
      CHECK(!guardedCopy(other.data(), pages.at + Pages::kPage - length + beyond, length));
      CHECK(!guardedCopy(pages.at + Pages::kPage - length + beyond, expected.data(), length));
      CHECK(!guardedLand(other.data(), pages.at + Pages::kPage - length + beyond, length));
      CHECK(!guardedLand(pages.at + Pages::kPage - length + beyond, expected.data(), length));
    }
  }
  Bytes large(9000);
  for (const size_t length : {size_t{1024}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{9000}}) {
    CHECK(guardedCopy(large.data(), expected.data(), length));
    CHECK(std::equal(expected.begin(), expected.begin() + static_cast<long>(length), large.begin()));
    CHECK(!guardedCopy(large.data(), pages.at + 1, length + Pages::kPage));
    CHECK(!guardedLand(large.data(), pages.at + 1, length + Pages::kPage));
    CHECK(!guardedLand(pages.at + 1, large.data(), length + Pages::kPage));
  }
}

TEST(words_and_atomic_operations_are_done_or_fail) {
  keepFaultHandler();
  Pages pages;
  auto* word = reinterpret_cast<uint64_t*>(pages.at);
  uint64_t original = 0;
  *word = 40;
  CHECK(guardedFetchAdd(word, 2, &original));
  EQUAL(original, 40);
  EQUAL(*word, 42);
  CHECK(guardedCompareSwap(word, 41, 7, &original));
  EQUAL(original, 42);
  EQUAL(*word, 42);
  CHECK(guardedCompareSwap(word, 42, 7, &original));
  EQUAL(original, 42);
  EQUAL(*word, 7);
  uint32_t value = 0;
  CHECK(guardedLoad(word, &value));
  EQUAL(value, 7);
  CHECK(guardedStore(word, 9));
  EQUAL(*word, 9);
  uint8_t bytes[64];
  const uint64_t words[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(guardedHand(pages.at, words));
  CHECK(guardedCopy64(bytes, pages.at));
  BYTES(bytes, reinterpret_cast<const uint8_t*>(words), 64);
  uint64_t low = 0, high = 0;
  CHECK(guardedLoad16(pages.at + 48, &low, &high));
  EQUAL(low, 7);
  EQUAL(high, 8);
  for (const Way way : kWays) {
    Pages gone;
    auto* at = reinterpret_cast<uint64_t*>(gone.at);
    gone.take(way);
    CHECK(!guardedFetchAdd(at, 2, &original));
    CHECK(!guardedCompareSwap(at, 0, 2, &original));
    CHECK(!guardedLoad(at, &value));
    CHECK(!guardedStore(at, 1));
    CHECK(!guardedHand(gone.at, words));
    CHECK(!guardedCopy64(bytes, gone.at));
    CHECK(!guardedLoad16(gone.at, &low, &high));
  }
  EQUAL(mprotect(pages.at, Pages::kPage, PROT_READ), 0);
  CHECK(guardedLoad(word, &value));
  CHECK(!guardedStore(word, 1));
  CHECK(!guardedHand(pages.at, words));
  CHECK(!guardedFetchAdd(word, 1, &original));
}

TEST(a_frame_whose_bytes_are_gone_ends_in_a_protection_error) {
  for (const Way way : kWays) {
    Parts parts;
    parts.round();
    parts.part["payload"].take(way);
    parts.write();
    parts.ring();
    parts.card.step(3);
    EQUAL(parts.opcode("send CQ", 1), MLX5_CQE_REQ_ERR);
    EQUAL(parts.syndromeOf("send CQ", 1), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
    EQUAL(static_cast<int>(parts.state()), static_cast<int>(QueuePairState::sqe));
    EQUAL(parts.card.counters().transmitFrames, 1);
  }
}

TEST(a_receive_whose_memory_is_gone_ends_in_a_protection_error) {
  for (const Way way : kWays) {
    Parts parts;
    parts.round();
    parts.part["buffer"].take(way);
    parts.post();
    parts.write();
    parts.ring();
    parts.card.step(3);
    EQUAL(parts.opcode("receive CQ", 1), MLX5_CQE_RESP_ERR);
    EQUAL(parts.syndromeOf("receive CQ", 1), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
    EQUAL(static_cast<int>(parts.state()), static_cast<int>(QueuePairState::err));
    EQUAL(parts.count(AsyncEventType::qpFatal), 0);
  }
}

TEST(a_receive_into_memory_that_became_read_only_ends_in_a_protection_error) {
  Parts parts;
  parts.round();
  EQUAL(mprotect(parts.part["buffer"].at, Pages::kSize, PROT_READ), 0);
  parts.post();
  parts.write();
  parts.ring();
  parts.card.step(3);
  EQUAL(parts.syndromeOf("receive CQ", 1), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR);
}

TEST(a_ring_or_a_record_that_is_gone_is_fatal_to_its_queue_pair) {
  for (const char* name : {"send ring", "send record", "receive ring", "receive record"}) {
    for (const Way way : kWays) {
      Parts parts;
      parts.round();
      const bool receive = name[0] == 'r';
      if (!receive) parts.post();
      parts.write();
      parts.ring();
      if (receive && std::string(name) == "receive ring") parts.post();
      parts.part[name].take(way);
      parts.card.step(100);
      EQUAL(parts.count(AsyncEventType::qpFatal), 1);
      EQUAL(parts.count(AsyncEventType::cqError), 0);
      EQUAL(static_cast<int>(parts.state()), static_cast<int>(QueuePairState::err));
    }
  }
}

TEST(a_completion_queue_whose_memory_is_gone_is_in_error) {
  for (const Way way : kWays) {
    Parts parts;
    parts.round();
    parts.part["send CQ"].take(way);
    parts.write();
    parts.ring();
    parts.card.step(3);
    CHECK(parts.card.events.has(AsyncEventType::cqError, parts.cqn[0]));
    CHECK(parts.card.events.has(AsyncEventType::qpFatal, parts.qpn));
    EQUAL(parts.count(AsyncEventType::cqError), 1);
    EQUAL(static_cast<int>(parts.state()), static_cast<int>(QueuePairState::err));
  }
}

TEST(every_queue_pair_whose_completion_is_lost_with_its_queue_is_in_error) {
  for (const Way way : kWays) {
    keepFaultHandler();
    Card card;
    EQUAL(card.nic.connect(1, makeLoopWire()), 0);
    Pages pages;
    alignas(64) uint32_t record[2] = {};
    CompletionQueueAttributes attributes;
    attributes.buffer = pages.at;
    attributes.entries = 16;
    attributes.doorbell = record;
    Cq receives(card.nic, 16), sends(card.nic, 16);
    EQUAL(card.nic.createCompletionQueue(attributes, &sends.number), 0);
    Region memory(card.nic, card.pd, 4096);
    std::unique_ptr<Qp> pairs[3];
    for (auto& pair : pairs) {
      pair = card.rawQp(sends, receives);
      pair->bringUp();
      // The third has nothing to complete.
      if (&pair != &pairs[2]) pair->send(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 64)));
    }
    pages.take(way);
    card.step();
    EQUAL(card.counters().transmitFrames, 2);
    size_t errors = 0;
    for (const AsyncEvent& event : card.events.events) errors += event.type == AsyncEventType::cqError ? 1 : 0;
    EQUAL(errors, 1);
    for (const auto& pair : pairs) {
      const bool lost = &pair != &pairs[2];
      EQUAL(card.events.has(AsyncEventType::qpFatal, pair->number), lost);
      EQUAL(static_cast<int>(pair->state()), static_cast<int>(lost ? QueuePairState::err : QueuePairState::rts));
    }
  }
}

TEST(a_completion_queue_whose_record_is_gone_is_in_error) {
  for (const Way way : kWays) {
    Parts parts;
    parts.round();
    parts.part["send CQ record"].take(way);
    parts.card.step(100);
    CHECK(parts.card.events.has(AsyncEventType::cqError, parts.cqn[0]));
    EQUAL(parts.count(AsyncEventType::cqError), 1);
  }
}

// Wires: the frames that they carry, their delays and their losses.
#include <algorithm>

#include "frames.h"

using namespace soft;

namespace {

void put(FrameQueue* queue, uint32_t number, size_t length) {
  uint8_t* at = queue->reserve(length);
  CHECK(at != nullptr);
  std::memset(at, 0, length);
  store32(at, number);
  queue->commit(length);
}

// Takes every arrived frame: returns their numbers.
std::vector<uint32_t> take(FrameQueue* queue) {
  std::vector<uint32_t> numbers;
  size_t length;
  while (const uint8_t* frame = queue->front(&length)) {
    numbers.push_back(load32(frame));
    queue->pop();
  }
  return numbers;
}

std::vector<uint32_t> impaired(uint64_t seed, LinkDirection direction) {
  LinkOptions options;
  options.seed = seed;
  options.direction[0] = direction;
  auto wire = makeLinkWire(options);
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < 1000; ++i) {
    put(wire->end(0).transmit, i, 100);
    wire->step(i * 10000);
    for (const uint32_t number : take(wire->end(1).receive)) all.push_back(number);
  }
  wire->step(1000000000000);
  for (const uint32_t number : take(wire->end(1).receive)) all.push_back(number);
  EQUAL(wire->deadline(), kNever);
  return all;
}

}  // namespace

TEST(a_frame_queue_keeps_order_and_content_round_its_end) {
  FrameQueue queue(4096);
  uint32_t in = 0, out = 0;
  uint32_t random = 1;
  for (int i = 0; i < 20000; ++i) {
    random = random * 1664525 + 1013904223;
    const size_t length = 14 + random % 900;
    uint8_t* at = queue.reserve(length);
    if (at != nullptr && random & 0x10000) {
      store32(at, in++);
      std::memset(at + 4, static_cast<int>(in & 255), length - 4);
      queue.commit(length);
    }
    if (!queue.empty() && random & 0x20000) {
      size_t size;
      const uint8_t* frame = queue.front(&size);
      const uint8_t* listed[64];
      size_t sizes[64];
      EQUAL(queue.list(listed, sizes, 64), queue.count());
      for (size_t k = 0; k < queue.count(); ++k) EQUAL(load32(listed[k]), out + k);
      EQUAL(load32(frame), out++);
      for (size_t k = 4; k < size; ++k) EQUAL(frame[k], out & 255);
      queue.pop();
    }
  }
  CHECK(out > 1000);
}

TEST(a_link_delays_and_paces) {
  LinkOptions options;
  options.direction[0].bitsPerSecond = 1000000000;  // 1 Gb/s: 124 bytes with overhead take 992 ns
  options.direction[0].delayNanoseconds = 5000;
  options.direction[1].delayNanoseconds = 70;
  auto wire = makeLinkWire(options);
  for (uint32_t i = 0; i < 3; ++i) put(wire->end(0).transmit, i, 100);
  put(wire->end(1).transmit, 9, 100);
  wire->step(1000);
  EQUAL(wire->deadline(), 1070);
  wire->step(1069);
  CHECK(take(wire->end(0).receive).empty());
  wire->step(1070);
  CHECK(take(wire->end(0).receive) == std::vector<uint32_t>{9});
  for (uint32_t i = 0; i < 3; ++i) {
    const uint64_t due = 1000 + 992 * (i + 1) + 5000;
    EQUAL(wire->deadline(), due);
    wire->step(due - 1);
    CHECK(take(wire->end(1).receive).empty());
    wire->step(due);
    CHECK(take(wire->end(1).receive) == std::vector<uint32_t>{i});
  }
}

TEST(a_link_loses_duplicates_and_reorders_as_its_seed_says) {
  LinkDirection direction;
  direction.loss = 0.1;
  direction.duplicate = 0.05;
  direction.reorder = 0.05;
  const std::vector<uint32_t> first = impaired(7, direction);
  CHECK(first == impaired(7, direction));
  CHECK(first != impaired(8, direction));
  std::vector<int> seen(1000);
  int swapped = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    ++seen[first[i]];
    if (i != 0 && first[i] < first[i - 1]) ++swapped;
  }
  int lost = 0, twice = 0;
  for (const int count : seen) {
    lost += count == 0;
    twice += count == 2;
  }
  CHECK(lost > 70 && lost < 130);
  CHECK(twice > 25 && twice < 75);
  CHECK(swapped > 25 && swapped < 75);
}

TEST(jitter_lets_frames_overtake_and_loses_none) {
  LinkDirection direction;
  direction.jitterNanoseconds = 50000;
  const std::vector<uint32_t> got = impaired(3, direction);
  EQUAL(got.size(), 1000);
  CHECK(!std::is_sorted(got.begin(), got.end()));
}

TEST(a_port_waits_for_its_line_rate_and_loses_nothing) {
  LinkOptions options;
  options.direction[0].bitsPerSecond = 100000000;  // 124 bytes: 9920 ns
  auto wire = makeLinkWire(options);
  for (uint32_t i = 0; i < 100; ++i) put(wire->end(0).transmit, i, 100);
  std::vector<uint32_t> got;
  uint64_t now = 0;
  int steps = 0;
  while (got.size() < 100) {
    wire->step(now);
    for (const uint32_t number : take(wire->end(1).receive)) got.push_back(number);
    EQUAL(got.size(), std::min<uint64_t>(100, now / 9920));
    now = wire->deadline();
    CHECK(++steps < 1000);
  }
  CHECK(std::is_sorted(got.begin(), got.end()));
  EQUAL(wire->deadline(), kNever);
}

TEST(a_link_drops_what_its_queue_does_not_hold) {
  LinkOptions options;
  options.direction[0].bitsPerSecond = 1000000;
  options.direction[0].queueBytes = 1000;
  options.loop = true;
  auto wire = makeLinkWire(options);
  for (uint32_t i = 0; i < 100; ++i) put(wire->end(0).transmit, i, 100);
  wire->step(0);
  wire->step(1000000000);
  EQUAL(take(wire->end(0).receive).size(), 9);  // 9 * 124 bytes: the tenth finds more than 1000 waiting
}

TEST(a_pair_has_carrier_while_both_ends_are_plugged_in) {
  LinkOptions options;
  for (const std::shared_ptr<Wire>& wire : {makePairWire(), makeLinkWire(options)}) {
    Card left;
    EQUAL(left.nic.connect(1, wire, 0), 0);
    CHECK(!left.nic.linkUp(1));
    Cq cq(left.nic, 4096);
    auto qp = left.rawQp(cq, cq, false, 1024);
    qp->bringUp();
    Region memory(left.nic, left.pd, 16384);
    const auto flood = [&] {  // more than any queue holds
      for (int i = 0; i < 500; ++i) qp->write(Wqe(MLX5_OPCODE_SEND).eth().data(memory.sge(0, 9000)));
      qp->ring();
      left.step(20);
      for (int i = 0; i < 500; ++i) CHECK(cq.poll() != nullptr);
    };
    flood();
    {
      Card right;
      EQUAL(right.nic.connect(1, wire, 1), 0);
      left.step();
      CHECK(left.nic.linkUp(1));
      CHECK(left.events.has(AsyncEventType::portActive, 1));
    }
    left.step();
    CHECK(!left.nic.linkUp(1));
    CHECK(left.events.has(AsyncEventType::portError, 1));
    flood();
  }
}

TEST(wires_that_cannot_be_say_why) {
  int error = 0;
  CHECK(makeInterfaceWire("no-such-if0", &error) == nullptr);
  EQUAL(error, ENODEV);
}

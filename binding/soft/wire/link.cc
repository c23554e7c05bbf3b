// A link that is not perfect: bandwidth, delay, jitter, loss, duplication and reordering, each direction by itself. All
// of it follows from the seed, the frames and the times of the steps.
#include <algorithm>
#include <cstring>
#include <vector>

#include "wire/plugs.h"
#include "wire/wire.h"

namespace soft {

namespace {

constexpr uint64_t kHold = 1000000;      // a frame that waits to be overtaken goes after 1 ms all the same
constexpr uint64_t kAhead = 20000;       // at line rate, frames for 20 µs are taken from the port before they have left
constexpr size_t kMaxFlying = 1 << 16;   // frames; then the port waits
constexpr uint64_t kFrameOverhead = 24;  // preamble, frame check sequence and gap (IEEE 802.3)

// splitmix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  bool chance(double probability) { return static_cast<double>(next() >> 11) * 0x1p-53 < probability; }

 private:
  uint64_t state_;
};

class Direction {
 public:
  Direction(const LinkDirection& options, uint64_t seed) : options_(options), random_(seed) {}

  bool step(uint64_t now, FrameQueue& from, FrameQueue& to) {
    bool moved = false;
    size_t length;
    resumeAt_ = kNever;
    while (const uint8_t* frame = from.front(&length)) {
      if (options_.queueBytes == 0 && busyUntil_ > now + kAhead) {
        resumeAt_ = busyUntil_ - kAhead;
        break;
      }
      if (flying_.size() >= kMaxFlying) {
        resumeAt_ = now + kAhead;
        break;
      }
      accept(now, frame, length);
      from.pop();
      moved = true;
    }
    if (held_ != kNone && now >= heldUntil_) releaseHeld(now);
    while (!flying_.empty() && flying_.front().due <= now) {
      const Flight flight = flying_.front();
      const std::vector<uint8_t>& bytes = buffers_[flight.buffer];
      uint8_t* room = to.reserve(bytes.size());
      if (room == nullptr) break;
      std::memcpy(room, bytes.data(), bytes.size());
      to.commit(bytes.size());
      std::pop_heap(flying_.begin(), flying_.end(), later);
      flying_.pop_back();
      free_.push_back(flight.buffer);
      moved = true;
    }
    return moved;
  }

  uint64_t deadline() const {
    const uint64_t held = std::min(resumeAt_, held_ == kNone ? kNever : heldUntil_);
    return flying_.empty() ? held : std::min(held, flying_.front().due);
  }

 private:
  struct Flight {
    uint64_t due;
    uint64_t order;
    uint32_t buffer;
  };
  static constexpr uint32_t kNone = ~0u;

  static bool later(const Flight& left, const Flight& right) {
    return left.due != right.due ? left.due > right.due : left.order > right.order;
  }

  void accept(uint64_t now, const uint8_t* frame, size_t length) {
    // Every frame draws alike, so that changing one option does not change what the others do.
    const bool lost = random_.chance(options_.loss);
    const bool twice = random_.chance(options_.duplicate);
    const bool back = random_.chance(options_.reorder);
    const uint64_t jitter =
        options_.jitterNanoseconds == 0 ? random_.next() & 0 : random_.next() % (options_.jitterNanoseconds + 1);
    uint64_t sent = now;
    if (options_.bitsPerSecond != 0) {
      const uint64_t begin = std::max(now, busyUntil_);
      const double waiting = static_cast<double>(begin - now) * static_cast<double>(options_.bitsPerSecond) / 8e9;
      if (options_.queueBytes != 0 && waiting > static_cast<double>(options_.queueBytes)) return;
      sent = begin + ((length + kFrameOverhead) * 8 * 1000000000 + options_.bitsPerSecond - 1) / options_.bitsPerSecond;
      busyUntil_ = sent;
    }
    if (lost) return;
    const uint64_t due = sent + options_.delayNanoseconds + jitter;
    if (back && held_ == kNone) {
      held_ = store(frame, length);
      heldUntil_ = due + kHold;
      return;
    }
    fly(due, store(frame, length));
    if (twice) fly(due, store(frame, length));
    if (held_ != kNone) releaseHeld(due);
  }

  void releaseHeld(uint64_t due) {
    fly(due, held_);
    held_ = kNone;
  }

  void fly(uint64_t due, uint32_t buffer) {
    flying_.push_back({due, order_++, buffer});
    std::push_heap(flying_.begin(), flying_.end(), later);
  }

  uint32_t store(const uint8_t* frame, size_t length) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(buffers_.size()));
      buffers_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    buffers_[index].assign(frame, frame + length);
    return index;
  }

  LinkDirection options_;
  Random random_;
  uint64_t busyUntil_ = 0;
  uint64_t resumeAt_ = kNever;  // the port waits until then
  uint64_t order_ = 0;
  uint32_t held_ = kNone;
  uint64_t heldUntil_ = 0;
  std::vector<Flight> flying_;  // a heap: the next one due in front
  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<uint32_t> free_;
};

class LinkWire : public Wire {
 public:
  explicit LinkWire(const LinkOptions& options)
      : loop_(options.loop), directions_{{options.direction[0], options.seed}, {options.direction[1], ~options.seed}} {}

  WireEnd end(int index) override {
    if (loop_) return index == 0 ? WireEnd{&transmit_[0], &receive_[0]} : WireEnd{};
    plugs_.plug(index);
    return {&transmit_[index], &receive_[index]};
  }
  void detach(int index) override { plugs_.pull(index); }
  bool up() const override { return loop_ || plugs_.both(); }

  bool step(uint64_t now) override {
    if (loop_) return directions_[0].step(now, transmit_[0], receive_[0]);
    for (int i = 0; i < 2; ++i) {
      if (!plugs_.in(i)) receive_[i].clear();  // to nobody
    }
    const bool there = directions_[0].step(now, transmit_[0], receive_[1]);
    return directions_[1].step(now, transmit_[1], receive_[0]) || there;
  }

  bool loops() const override { return loop_; }
  uint64_t deadline() const override { return std::min(directions_[0].deadline(), directions_[1].deadline()); }

 private:
  bool loop_;
  Direction directions_[2];
  FrameQueue transmit_[2], receive_[2];
  Plugs plugs_;
};

}  // namespace

std::shared_ptr<Wire> makeLinkWire(const LinkOptions& options) { return std::make_shared<LinkWire>(options); }

}  // namespace soft

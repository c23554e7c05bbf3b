// The two wires that do nothing: a port whose transmit queue is its receive queue, and two ports joined crosswise.
#include "wire/plugs.h"
#include "wire/wire.h"

namespace soft {

namespace {

class LoopWire : public Wire {
 public:
  WireEnd end(int index) override { return index == 0 ? WireEnd{&queue_, &queue_} : WireEnd{}; }
  bool step(uint64_t) override { return false; }
  bool loops() const override { return true; }

 private:
  FrameQueue queue_;
};

class PairWire : public Wire {
 public:
  WireEnd end(int index) override {
    plugs_.plug(index);
    return {&queue_[index], &queue_[1 - index]};
  }
  void detach(int index) override { plugs_.pull(index); }
  bool up() const override { return plugs_.both(); }

  // Frames to an unplugged end are dropped, and do not block the sender.
  bool step(uint64_t) override {
    for (int i = 0; i < 2; ++i) {
      if (!plugs_.in(1 - i)) queue_[i].clear();
    }
    return false;
  }

 private:
  FrameQueue queue_[2];
  Plugs plugs_;
};

}  // namespace

std::shared_ptr<Wire> makeLoopWire() { return std::make_shared<LoopWire>(); }
std::shared_ptr<Wire> makePairWire() { return std::make_shared<PairWire>(); }

}  // namespace soft

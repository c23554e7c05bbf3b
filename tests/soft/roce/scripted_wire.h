// A wire between two ports that treats each frame as the test prescribes, and records all of them.
#pragma once

#include <deque>
#include <functional>

#include "card.h"
#include "wire/wire.h"

struct Seen {
  int from;  // the end that sent it
  Bytes frame;
  bool delivered;
  uint64_t time;
};

class ScriptedWire : public soft::Wire {
 public:
  enum class Fate { deliver, drop, duplicate, hold };  // hold: it follows the next frame of its direction

  soft::WireEnd end(int index) override { return {&transmit_[index], &receive_[index]}; }

  bool step(uint64_t now) override {
    bool moved = false;
    for (int from = 0; from < 2; ++from) {
      size_t length;
      while (const uint8_t* front = transmit_[from].front(&length)) {
        const Bytes frame(front, front + length);
        transmit_[from].pop();
        const Fate fate = script ? script(from, frame) : Fate::deliver;
        seen.push_back({from, frame, fate != Fate::drop, now});
        moved = true;
        if (fate == Fate::hold) {
          held_[from].push_back(frame);
          continue;
        }
        if (fate != Fate::drop) put(1 - from, frame);
        if (fate == Fate::duplicate) put(1 - from, frame);
        for (const Bytes& late : held_[from]) put(1 - from, late);
        held_[from].clear();
      }
    }
    return moved;
  }

  // Releases the held frame, when none came after it.
  bool release() {
    bool any = false;
    for (int from = 0; from < 2; ++from) {
      for (const Bytes& late : held_[from]) put(1 - from, late);
      any |= !held_[from].empty();
      held_[from].clear();
    }
    return any;
  }

  // As if it came from end `from`.
  void inject(int from, const Bytes& frame) { put(1 - from, frame); }

  std::function<Fate(int from, const Bytes& frame)> script;
  std::vector<Seen> seen;

 private:
  void put(int to, const Bytes& frame) {
    uint8_t* at = receive_[to].reserve(frame.size());
    CHECK(at != nullptr);
    std::memcpy(at, frame.data(), frame.size());
    receive_[to].commit(frame.size());
  }

  soft::FrameQueue transmit_[2]{soft::FrameQueue(1u << 20), soft::FrameQueue(1u << 20)};
  soft::FrameQueue receive_[2]{soft::FrameQueue(1u << 22), soft::FrameQueue(1u << 22)};
  std::vector<Bytes> held_[2];
};

// The place of the BTH in a RoCEv2 frame over IPv4, and the fields that the tests read.
constexpr size_t kBth = 14 + 20 + 8;
inline int operationOf(const Bytes& frame) { return frame[kBth] & 0x1f; }
inline uint32_t psnOf(const Bytes& frame) { return soft::load24(&frame[kBth + 9]); }
inline int aethOf(const Bytes& frame) { return frame[kBth + 12]; }

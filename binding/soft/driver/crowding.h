// Whether more threads want to run than there are processors. A thread that polls is then taken off its processor for a
// slice of the scheduler's, some milliseconds, and each message waits for it: four polling threads on two processors,
// two programs and their NICs, exchange a message in 3 ms. sched_yield(2) does not help, because who polls in its place
// keeps the processor up to the next tick. A thread that sleeps and is woken does not wait: it preempts one that has
// run for longer (kernel/sched/fair.c, check_preempt_wakeup_fair). So in a crowd the NIC's thread sleeps as soon as it
// has nothing to do.
#pragma once

#include <algorithm>
#include <cstdint>

namespace soft {

class Crowding {
 public:
  // At each look of the thread, `now` in nanoseconds: nothing that it does in between takes as long as a slice, so that
  // a longer gap says that others had the processor.
  void look(uint64_t now) {
    const uint64_t last = last_;
    last_ = now;
    if (now >= until_) crowded_ = false;
    if (last == 0 || now < last + kSlice) return;
    span_ = now < until_ + kLongest ? std::min(2 * span_, kLongest) : kShortest;
    until_ = now + span_;
    crowded_ = true;
  }
  // It slept, and wanted to be awake again at `time`.
  void slept(uint64_t time) { last_ = time; }

  bool crowded() const { return crowded_; }

  static constexpr uint64_t kSlice = 500'000;
  // How long the crowd is believed to be there. To learn that it has gone is to poll, and where it has not that costs a
  // slice: so it is tried ever more seldom, at last once in a second.
  static constexpr uint64_t kShortest = 10'000'000, kLongest = 1'000'000'000;

 private:
  uint64_t last_ = 0, until_ = 0, span_ = kShortest;
  bool crowded_ = false;
};

}  // namespace soft

#include "driver/held_stores.h"

#include <sched.h>

#include <algorithm>

#include "device/device.h"
#include "driver/driver.h"
#include "driver/single_step.h"

namespace soft {

namespace {

// Nanoseconds. A writer that was let in and is not seen: its store changed nothing, or it has no processor. One that
// was asked for a step and has not begun: it has no processor, and in the end it came to block the signal meanwhile.
constexpr uint64_t kShortOpen = 50'000, kDeaf = 1'000'000'000, kLongest = 1'000'000'000;
constexpr uint32_t kMostDoublings = 5;
// From the first word of a WQE that is copied into the register to the last.
constexpr uint64_t kCopy = 300;
// At most so many openings of a page in a time.
constexpr uint64_t kWindow = 10'000'000;
constexpr uint32_t kMostOpenings = 100;

uint32_t ringsOf(const HeldStores::Devices& devices, const void* page, size_t size) {
  uint32_t sum = 0;
  for (const auto& device : devices) sum += device->nic.rings(page, size);
  return sum;
}

}  // namespace

bool HeldStores::serve(const Devices& devices) {
  bool any = finish(devices);
  closeSeen(devices);
  DoorbellPages::Fault fault;
  while (pages_.next(&fault)) {
    any = true;
    uint8_t* page = pages_.pageOf(fault.address);
    if (!pages_.held(page)) {
      pages_.change(page, false);
      continue;
    }
    // Nobody is held there now: the page is open, and who faulted before that was woken; or a step is under way, and
    // who waits is woken behind it.
    if (isStepping(page)) continue;
    if (isOpen(page)) {
      pages_.wake(page);
      continue;
    }
    BellState state = BellState::shared;
    for (const auto& device : devices) {
      if (state == BellState::shared) state = device->nic.atDoor(fault.address, fault.size);
    }
    if (state == BellState::shared) {
      // A register beside one that is judged, or nobody is judged here any more.
      bool judged = false;
      for (const auto& device : devices) judged |= device->nic.judges(page, pages_.pageSize());
      if (judged) {
        open(devices, page);
      } else {
        pages_.letGo(page);
      }
      continue;
    }
    StepOrder* order =
        state == BellState::told ? orderStep(fault.thread, pages_.descriptor(), page, pages_.pageSize()) : nullptr;
    if (order != nullptr) {
      steps_.push_back({order, page, monotonicNow()});
    } else {
      for (const auto& device : devices) device->nic.stored(page, pages_.pageSize());
      open(devices, page);
    }
  }
  return any;
}

bool HeldStores::finish(const Devices& devices) {
  bool any = false;
  for (size_t i = 0; i < steps_.size();) {
    const Step step = steps_[i];
    const bool done = stepDone(step.order);
    const bool deaf = !done && monotonicNow() - step.since > kDeaf && withdrawStep(step.order);
    if (!done && !deaf) {
      ++i;
      continue;
    }
    any = true;
    for (const auto& device : devices) device->nic.stored(step.page, pages_.pageSize());
    steps_[i] = steps_.back();
    steps_.pop_back();
    pages_.wake(step.page);
    if (deaf) open(devices, step.page);
  }
  return any;
}

void HeldStores::open(const Devices& devices, uint8_t* page) {
  const uint64_t now = monotonicNow();
  Rate& rate = rateOf(page);
  if (now - rate.since > kWindow) {
    rate.since = now;
    rate.count = 0;
  }
  const bool often = ++rate.count > kMostOpenings;
  open_.push_back({page, ringsOf(devices, page, pages_.pageSize()), now, often});
  pages_.change(page, false);
}

HeldStores::Rate& HeldStores::rateOf(uint8_t* page) {
  for (Rate& rate : rates_) {
    if (rate.page == page) return rate;
  }
  rates_.push_back({page, 0, 0, 0});
  return rates_.back();
}

void HeldStores::closeSeen(const Devices& devices) {
  for (size_t i = 0; i < open_.size();) {
    const Open one = open_[i];
    Rate& rate = rateOf(one.page);
    for (const auto& device : devices) device->nic.stored(one.page, pages_.pageSize());  // looks at the registers
    const bool seen = ringsOf(devices, one.page, pages_.pageSize()) != one.rings;
    const uint64_t now = monotonicNow();
    if (seen ? one.long_ : now - one.since < kShortOpen << std::min(rate.unseen, kMostDoublings)) {
      ++i;
      continue;
    }
    rate.unseen = seen ? 0 : rate.unseen + 1;
    if (seen) {
      while (monotonicNow() - now < kCopy) continue;
    }
    shut(i);
  }
}

void HeldStores::close(const Devices& devices) {
  for (size_t i = 0; i < open_.size();) {
    if (open_[i].long_ && ringsOf(devices, open_[i].page, pages_.pageSize()) != open_[i].rings) {
      shut(i);
    } else {
      ++i;
    }
  }
}

void HeldStores::shut(size_t index) {
  if (pages_.held(open_[index].page)) pages_.change(open_[index].page, true);
  open_[index] = open_.back();
  open_.pop_back();
}

bool HeldStores::isOpen(const uint8_t* page) const {
  return std::any_of(open_.begin(), open_.end(), [page](const Open& one) { return one.page == page; });
}

bool HeldStores::isStepping(const uint8_t* page) const {
  return std::any_of(steps_.begin(), steps_.end(), [page](const Step& one) { return one.page == page; });
}

void HeldStores::end(const Devices& devices) {
  for (const Step& step : steps_) {
    // Who has begun with it ends it: it is one instruction.
    const uint64_t begin = monotonicNow();
    while (!withdrawStep(step.order) && !stepDone(step.order) && monotonicNow() - begin < kLongest) sched_yield();
    for (const auto& device : devices) device->nic.stored(step.page, pages_.pageSize());
  }
  steps_.clear();
  open_.clear();
  rates_.clear();
  pages_.letAllGo();
}

}  // namespace soft

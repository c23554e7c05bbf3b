// The thread that drives the NICs. It steps every NIC as long as there is work, and a little longer; then it arms the
// doorbell pages, looks once more, and sleeps in poll(2) until a doorbell, a frame, a timer or a command.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "driver/crowding.h"
#include "driver/doorbell_pages.h"
#include "driver/held_stores.h"

namespace soft {

class Device;

// Now, in nanoseconds of CLOCK_MONOTONIC: the NICs' core clock.
uint64_t monotonicNow();

class Driver {
 public:
  Driver() = default;
  ~Driver() { stop(); }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Starts the thread. An errno or 0.
  int start(std::vector<std::shared_ptr<Device>> devices);
  void stop();
  // Ends the thread only: doorbells may still be rung, without effect.
  void halt();
  bool running() const { return thread_.joinable(); }

  // Wakes the thread for what no doorbell announces: a command, a change of the devices.
  void wake();

  void* takePage();
  bool giveBackPage(void* page);
  // Stores to the page of that register wait until the NIC has read the records (held_stores.h).
  void hold(const void* bell);

  // What wakes a sleeping NIC: "userfaultfd", or "timer" where that is not allowed.
  static const char* wakeup() { return DoorbellPages::allowed() ? "userfaultfd" : "timer"; }

 private:
  void run();
  bool stepAll();
  bool serveHeld();
  bool settled();
  void stirAll();
  void sleep();
  void nap(uint64_t time);
  // Until a command, a frame, a timer, a doorbell where `doorbells` says so, or until `time` nanoseconds have passed.
  void wait(uint64_t time, bool doorbells);

  // How long after its last work the thread looks on without sleeping, in nanoseconds: longer than it takes a program
  // to see a completion and ring the next doorbell, and short enough that an idle NIC costs nothing.
  static constexpr uint64_t kLinger = 50'000;
  // The longest nap where only a timer wakes, and how soon what did not fit in a socket is tried again.
  static constexpr uint64_t kLongestNap = 1'000'000, kShortestNap = 20'000;

  // The same in a crowd (crowding.h). Then it naps, the longer the longer it has had no work, and sleeps at last: to be
  // woken by a doorbell costs a protection of the pages, which other processors have to hear of, and a fault.
  static constexpr uint64_t kLingerInCrowd = 5'000, kAwakeInCrowd = 2'000'000;

  // How often it looks whether somebody took the place of its fault handler: some milliseconds.
  static constexpr unsigned kStepsPerLook = 8192;

  std::vector<std::shared_ptr<Device>> devices_;
  std::thread thread_;
  std::atomic<bool> stopping_{false}, asleep_{false};
  int wakeDescriptor_ = -1;
  std::mutex pagesMutex_;
  DoorbellPages pages_;
  HeldStores held_{pages_};
  std::atomic<bool> holds_{false};  // whether any page is held
  uint64_t nap_ = kShortestNap;
  Crowding crowding_;
  // Whether a wire leads out of this process. If none does a crowd is the program's own affair: to nap there cost a
  // program that sends to itself two thirds of its frames, after any gap. So then none is looked for.
  bool reachesOthers_ = false;
};

}  // namespace soft

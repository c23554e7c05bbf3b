#include "driver/driver.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "device/device.h"
#include "nic/fault_handler.h"

namespace soft {

uint64_t monotonicNow() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

namespace {

// A short time slice makes a thread that wakes up run soon, even where programs that poll keep every core busy (Linux
// 6.12: sched_setattr(2), sched_runtime of SCHED_OTHER, at least 100 µs). Older kernels ignore it.
void askForShortSlices() {
  // The first version of struct sched_attr: its header clashes with glibc's sched.h.
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{};
  static_assert(sizeof attributes == 48, "SCHED_ATTR_SIZE_VER0");
  attributes.size = sizeof attributes;
  attributes.policy = SCHED_OTHER;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  attributes.runtime = 100'000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);  // a refusal costs latency only
}

}  // namespace

int Driver::start(std::vector<std::shared_ptr<Device>> devices) {
  wakeDescriptor_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wakeDescriptor_ < 0) return errno;
  if (const int error = pages_.open()) {
    ::close(wakeDescriptor_);
    return error;
  }
  devices_ = std::move(devices);
  reachesOthers_ =
      std::any_of(devices_.begin(), devices_.end(), [](const auto& device) { return device->nic.leavesProcess(); });
  stopping_ = false;
  // Signals are the program's: none may be delivered here but the faults of memory that the program took away
  // (nic/guarded.h).
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV);
  sigdelset(&all, SIGBUS);
  keepFaultHandler();
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    error = EAGAIN;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error) {
    pages_.close();
    ::close(wakeDescriptor_);
    return error;
  }
  pthread_setname_np(thread_.native_handle(), "soft-nic");
  return 0;
}

void Driver::halt() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  asleep_ = true;  // so that the wake is not left out
  wake();
  thread_.join();
  {
    const std::lock_guard<std::mutex> guard(pagesMutex_);
    held_.end(devices_);
  }
  // What the last commands left to be sent, acknowledgements and flushes, still reaches the wires.
  stepAll();
  devices_.clear();
}

void Driver::stop() {
  if (!thread_.joinable()) return;
  halt();
  pages_.close();
  ::close(wakeDescriptor_);
  wakeDescriptor_ = -1;
}

void Driver::wake() {
  if (!asleep_.load(std::memory_order_seq_cst)) return;
  const uint64_t one = 1;
  // The counter is full only when it is readable, so nothing is lost.
  if (::write(wakeDescriptor_, &one, sizeof one) < 0) return;
}

void* Driver::takePage() {
  const std::lock_guard<std::mutex> guard(pagesMutex_);
  return pages_.take();
}

bool Driver::giveBackPage(void* page) {
  const std::lock_guard<std::mutex> guard(pagesMutex_);
  return pages_.giveBack(page);
}

void Driver::hold(const void* bell) {
  const std::lock_guard<std::mutex> guard(pagesMutex_);
  if (pages_.hold(bell)) holds_ = true;
}

bool Driver::serveHeld() {
  const std::lock_guard<std::mutex> guard(pagesMutex_);
  const bool busy = held_.serve(devices_);
  holds_ = pages_.heldCount() != 0;
  return busy;
}

bool Driver::stepAll() {
  const uint64_t now = monotonicNow();
  if (reachesOthers_) crowding_.look(now);
  bool busy = false;
  for (const auto& device : devices_) busy |= device->nic.step(now);
  return busy;
}

bool Driver::settled() {
  return std::all_of(devices_.begin(), devices_.end(), [](const auto& device) { return device->nic.settled(); });
}

void Driver::stirAll() {
  for (const auto& device : devices_) device->nic.stir();
}

void Driver::run() {
  askForShortSlices();
  prctl(PR_SET_TIMERSLACK, 1UL);  // else each nap is 50 µs longer
  uint64_t lastBusy = monotonicNow();
  unsigned idle = 0, steps = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (++steps % kStepsPerLook == 0) keepFaultHandler();
    const bool served = holds_.load(std::memory_order_relaxed) && serveHeld();
    if (stepAll() || served) {
      idle = 0;
      nap_ = kShortestNap;
      continue;
    }
    if (holds_.load(std::memory_order_relaxed)) {
      const std::lock_guard<std::mutex> guard(pagesMutex_);
      held_.close(devices_);
    }
    // The clock is asked only once in a while: a step that finds nothing costs less than the question.
    if (idle++ == 0) lastBusy = monotonicNow();
    const bool crowded = crowding_.crowded();
    if (!crowded && idle % 32 != 0) continue;
    const uint64_t quiet = monotonicNow() - lastBusy;
    if (quiet < (crowded ? kLingerInCrowd : kLinger)) continue;
    if (crowded && quiet < kAwakeInCrowd) {
      nap(std::max(kShortestNap, quiet / 8));
      continue;
    }
    if (!settled()) continue;
    sleep();
    keepFaultHandler();
    idle = 0;
  }
}

void Driver::wait(uint64_t time, bool doorbells) {
  bool flushed = true;
  std::vector<pollfd> watched{{wakeDescriptor_, POLLIN, 0}};
  if (doorbells) watched.push_back({pages_.descriptor(), POLLIN, 0});
  uint64_t deadline = kNever;
  for (const auto& device : devices_) {
    deadline = std::min(deadline, device->nic.deadline());
    for (const int descriptor : device->nic.descriptors()) watched.push_back({descriptor, POLLIN, 0});
    flushed &= device->flushEvents();
  }
  if (!flushed) time = std::min(time, kLongestNap);
  const uint64_t now = monotonicNow();
  if (deadline != kNever) time = std::min(time, deadline > now ? deadline - now : 0);
  timespec timeout{static_cast<time_t>(time / 1'000'000'000), static_cast<long>(time % 1'000'000'000)};
  if (ppoll(watched.data(), watched.size(), time == kNever ? nullptr : &timeout, nullptr) > 0 && watched[0].revents) {
    uint64_t count;
    if (::read(wakeDescriptor_, &count, sizeof count) < 0) count = 0;
  }
  crowding_.slept(time == kNever ? monotonicNow() : now + time);
}

// A doorbell does not end it: so nothing has to be protected, and nobody waits in a fault.
void Driver::nap(uint64_t time) {
  asleep_.store(true, std::memory_order_seq_cst);
  if (!stepAll()) wait(time, false);  // or a command left something that saw `asleep_` unset
  asleep_ = false;
}

void Driver::sleep() {
  asleep_.store(true, std::memory_order_seq_cst);
  {
    const std::lock_guard<std::mutex> guard(pagesMutex_);
    if (held_.stepping() || (pages_.canWake() && !pages_.protect())) {
      asleep_ = false;
      return;
    }
    held_.closed();
  }
  // A doorbell rung just before the pages were protected is found by a look at all records: its register may have said
  // the same before. So is what a command left that saw `asleep_` unset.
  stirAll();
  bool busy;
  do {
    busy = stepAll();
  } while (!busy && !settled() && !stopping_);
  if (!busy && !stopping_) {
    if (pages_.canWake()) {
      wait(kNever, true);
    } else {
      wait(nap_, false);
      nap_ = std::min(nap_ * 2, kLongestNap);
    }
  }
  asleep_ = false;
  {
    const std::lock_guard<std::mutex> guard(pagesMutex_);
    if (pages_.heldCount() != 0) held_.serve(devices_);
    pages_.unprotect();
  }
  stirAll();  // the same of the doorbell that woke us: its record was written before its register
}

}  // namespace soft

#include "driver/single_step.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>

#include "nic/fault_handler.h"

namespace soft {

// Read by signal handlers: in one of the places below, for ever.
struct StepOrder {
  enum State : int { free, made, sent, stepping, done };
  std::atomic<int> state{free};
  pid_t thread;
  int descriptor;
  uffdio_range page;
  bool trapBlocked;
};

#if defined(__x86_64__)

namespace {

constexpr greg_t kTrapFlag = 0x100;
StepOrder orders[16];
struct sigaction behind{};  // who had SIGTRAP before

void protect(const StepOrder& order, bool on) {
  uffdio_writeprotect range{};
  range.range = order.page;
  // Others that wait there go on waiting.
  range.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
  ioctl(order.descriptor, UFFDIO_WRITEPROTECT, &range);
}

pid_t self() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// In the handler of SIGSEGV, where somebody sent it: whether it was an order.
bool onOrder(siginfo_t* info, void* context) {
  auto* order = static_cast<StepOrder*>(info->si_value.sival_ptr);
  if (order < orders || order >= orders + sizeof orders / sizeof *orders) return false;
  int state = StepOrder::sent;
  if (order->thread != self() || !order->state.compare_exchange_strong(state, StepOrder::stepping)) return true;
  auto* at = static_cast<ucontext_t*>(context);
  at->uc_mcontext.gregs[REG_EFL] |= kTrapFlag;
  order->trapBlocked = sigismember(&at->uc_sigmask, SIGTRAP) == 1;  // the mask from the handler's return on
  sigdelset(&at->uc_sigmask, SIGTRAP);
  protect(*order, false);
  return true;
}

void onTrap(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  for (StepOrder& order : orders) {
    if (order.state.load() != StepOrder::stepping || order.thread != self()) continue;
    auto* at = static_cast<ucontext_t*>(context);
    at->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
    if (order.trapBlocked) sigaddset(&at->uc_sigmask, SIGTRAP);
    protect(order, true);
    order.state = StepOrder::done;
    errno = error;
    return;
  }
  errno = error;
  if (behind.sa_flags & SA_SIGINFO) return behind.sa_sigaction(signal, info, context);
  if (behind.sa_handler == SIG_IGN) return;
  if (behind.sa_handler != SIG_DFL) return behind.sa_handler(signal);
  sigaction(SIGTRAP, &behind, nullptr);
  syscall(SYS_tgkill, getpid(), self(), SIGTRAP);  // delivered when this returns
}

// A signal that it blocks would stay with it, and it in its fault.
bool listens(pid_t thread) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
  const std::unique_ptr<FILE, int (*)(FILE*)> status(fopen(path, "re"), fclose);
  uint64_t blocked;
  while (status != nullptr && fgets(line, sizeof line, status.get()) != nullptr) {
    if (sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1) return (blocked >> (SIGSEGV - 1) & 1) == 0;
  }
  return false;
}

// Whether the signals come to us, and from now on SIGTRAP does.
bool ready() {
  keepFaultHandler(onOrder);
  struct sigaction now{};
  if (sigaction(SIGTRAP, nullptr, &now) != 0) return false;
  if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == onTrap) return true;
  behind = now;
  struct sigaction ours{};
  ours.sa_sigaction = onTrap;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  return sigaction(SIGTRAP, &ours, nullptr) == 0;
}

}  // namespace

StepOrder* orderStep(pid_t thread, int descriptor, void* page, size_t size) {
  if (thread == 0 || !ready() || !listens(thread)) return nullptr;
  for (StepOrder& order : orders) {
    int state = StepOrder::free;
    if (!order.state.compare_exchange_strong(state, StepOrder::made)) continue;
    order.thread = thread;
    order.descriptor = descriptor;
    order.page = {reinterpret_cast<uint64_t>(page), size};
    order.state = StepOrder::sent;
    siginfo_t info{};
    info.si_signo = SIGSEGV;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = &order;
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, SIGSEGV, &info) == 0) return &order;
    order.state = StepOrder::free;
    return nullptr;
  }
  return nullptr;
}

#else

StepOrder* orderStep(pid_t, int, void*, size_t) { return nullptr; }

#endif

bool stepDone(StepOrder* order) {
  int state = StepOrder::done;
  return order->state.compare_exchange_strong(state, StepOrder::free);
}

bool withdrawStep(StepOrder* order) {
  int state = StepOrder::sent;
  return order->state.compare_exchange_strong(state, StepOrder::free);
}

}  // namespace soft

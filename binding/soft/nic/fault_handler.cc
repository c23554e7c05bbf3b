#include "nic/fault_handler.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <type_traits>

#include "nic/guarded.h"

// Made by the linker: where the section soft_guarded of all objects begins and ends.
extern "C" {
extern const soft::GuardedRange __start_soft_guarded[] __attribute__((visibility("hidden")));
extern const soft::GuardedRange __stop_soft_guarded[] __attribute__((visibility("hidden")));
}

namespace soft {
namespace {

// The handlers behind ours, the latest last.
struct Chain {
  static constexpr size_t kMost = 8;
  int signal;
  struct sigaction actions[kMost];
  std::atomic<size_t> count{0};
};
Chain segmentation{SIGSEGV, {}, {}}, bus{SIGBUS, {}, {}};
std::mutex installing;
std::atomic<SentSignal> sent{nullptr};
std::atomic<bool> ending{false};  // no handler takes the fault: it ends the process

// A handler that came after ours may have kept ours as the one before it, and call it with what we passed on: that is
// then meant for the one before that. How far a thread's fault was passed on; an entry that was left by siglongjmp is
// written over by the thread's next fault.
struct Passing {
  std::atomic<pid_t> thread{0};
  void* context;
  size_t depth;
};
Passing passing[64];

bool goOnBehind(ucontext_t* context) {
#if defined(__x86_64__)
  auto& counter = context->uc_mcontext.gregs[REG_RIP];
#else
  auto& counter = context->uc_mcontext.pc;
#endif
  const auto at = static_cast<uintptr_t>(counter);
  const auto resolve = [](const int32_t& field) {
    return reinterpret_cast<uintptr_t>(&field) + static_cast<intptr_t>(field);
  };
  for (const GuardedRange* range = __start_soft_guarded; range != __stop_soft_guarded; ++range) {
    if (at < resolve(range->begin) || at >= resolve(range->end)) continue;
    counter = static_cast<std::remove_reference_t<decltype(counter)>>(resolve(range->fixup));
    return true;
  }
  return false;
}

Passing* find(pid_t thread) {
  for (Passing& one : passing) {
    if (one.thread.load(std::memory_order_relaxed) == thread) return &one;
  }
  return nullptr;
}

Passing* claim(pid_t thread) {
  for (Passing& one : passing) {
    pid_t nobody = 0;
    if (one.thread.compare_exchange_strong(nobody, thread)) return &one;
  }
  return nullptr;
}

// What the kernel does where there is no handler: the instruction is run again and ends the process.
void end(int signal, const siginfo_t* info) {
  ending = true;
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  if (info->si_code <= 0)
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);  // sent by somebody: nothing runs again
}

void call(const struct sigaction& action, int signal, siginfo_t* info, void* context) {
  if (!(action.sa_flags & SA_SIGINFO)) {
    if (action.sa_handler == SIG_IGN && info->si_code <= 0) return;
    if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) return end(signal, info);
  }
  // The mask that it asked for. The kernel puts back the one before when ours returns.
  pthread_sigmask(SIG_BLOCK, &action.sa_mask, nullptr);
  if (action.sa_flags & SA_NODEFER) {
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, signal);
    pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  }
  if (action.sa_flags & SA_SIGINFO) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

void passOn(Chain& chain, bool chained, siginfo_t* info, void* context) {
  const auto thread = static_cast<pid_t>(syscall(SYS_gettid));
  Passing* mine = find(thread);
  const bool again = chained && mine != nullptr && mine->context == context;
  const size_t depth = again ? mine->depth + 1 : chained ? 1 : 0;
  const size_t count = chain.count.load(std::memory_order_acquire);
  if (depth >= count) return end(chain.signal, info);
  Passing before{};
  if (mine == nullptr) {
    mine = claim(thread);
  } else {
    before.context = mine->context;
    before.depth = mine->depth;
  }
  if (mine != nullptr) {
    mine->context = context;
    mine->depth = depth;
  }
  call(chain.actions[count - 1 - depth], chain.signal, info, context);
  if (mine == nullptr) return;
  if (before.context != nullptr) {
    mine->context = before.context;
    mine->depth = before.depth;
  } else {
    mine->thread.store(0, std::memory_order_release);
  }
}

void onFault(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  // Called by the kernel, its frame begins where the kernel's ends; called by another handler, somewhere below.
#if defined(__x86_64__)
  const bool chained = __builtin_dwarf_cfa() != context;
#else
  const bool chained = __builtin_dwarf_cfa() != static_cast<void*>(info);
#endif
  const SentSignal order = info->si_code == SI_QUEUE && signal == SIGSEGV ? sent.load() : nullptr;
  if (order != nullptr && order(info, context)) {
    errno = error;
    return;
  }
  if (info->si_code <= 0 || !goOnBehind(static_cast<ucontext_t*>(context))) {
    passOn(signal == SIGBUS ? bus : segmentation, chained, info, context);
  }
  errno = error;
}

bool same(const struct sigaction& a, const struct sigaction& b) {
  return a.sa_flags == b.sa_flags && a.sa_sigaction == b.sa_sigaction;
}

bool isOurs(const struct sigaction& action) { return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == onFault; }

void append(Chain& chain, const struct sigaction& action) {
  size_t count = chain.count.load(std::memory_order_relaxed);
  if (count != 0 && same(chain.actions[count - 1], action)) return;
  if (count == Chain::kMost) --count;  // the latest takes the place of the one before
  chain.actions[count] = action;
  chain.count.store(count + 1, std::memory_order_release);
}

void keep(Chain& chain) {
  struct sigaction now{};
  if (sigaction(chain.signal, nullptr, &now) != 0 || isOurs(now)) return;
  append(chain, now);  // first: from the next line on a fault is passed on to it
  struct sigaction ours{};
  ours.sa_sigaction = onFault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  struct sigaction before{};
  sigaction(chain.signal, &ours, &before);
  if (!isOurs(before)) append(chain, before);
}

}  // namespace

void keepFaultHandler() {
  if (ending.load(std::memory_order_relaxed)) return;
  const std::lock_guard<std::mutex> guard(installing);
  keep(segmentation);
  keep(bus);
}

void keepFaultHandler(SentSignal onSent) {
  sent = onSent;
  keepFaultHandler();
}

void unblockFaults() {
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGSEGV);
  sigaddset(&both, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &both, nullptr);
}

}  // namespace soft

// The handler of faults beside the program's own: what is not the NIC's goes to who had it before or comes after.
#include "nic/fault_handler.h"

#include <sys/wait.h>

#include <csetjmp>
#include <csignal>

#include "nic/guarded.h"
#include "pages.h"

using namespace soft;

namespace {

sigjmp_buf jump;
volatile int seen = 0;
struct sigaction kept;

void jumping(int) {
  ++seen;
  siglongjmp(jump, 1);
}

// As many libraries do: passes a signal that is not its own to the previous handler, which is ours.
void chaining(int signal, siginfo_t* info, void* context) {
  ++seen;
  kept.sa_sigaction(signal, info, context);
}

// A wild pointer in a child process: the signal or the exit code that the child ended with.
int inChild(void (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 256 + WEXITSTATUS(status);
}

volatile int* volatile nowhere = reinterpret_cast<volatile int*>(uintptr_t{64});

void wild() { *nowhere = 1; }

void handle(void (*simple)(int), void (*full)(int, siginfo_t*, void*) = nullptr) {
  struct sigaction action{};
  if (full != nullptr) {
    action.sa_sigaction = full;
    action.sa_flags = SA_SIGINFO;
  } else {
    action.sa_handler = simple;
  }
  sigaction(SIGSEGV, &action, &kept);
}

bool heldBack() {
  uint32_t value;
  Pages gone;
  gone.take(Way::protect);
  return !guardedLoad(gone.at, &value);
}

}  // namespace

TEST(a_wild_pointer_still_ends_the_process) {
  handle(SIG_DFL);
  EQUAL(inChild([] {
          keepFaultHandler();
          if (heldBack()) wild();
        }),
        SIGSEGV);
  EQUAL(inChild([] {
          keepFaultHandler();
          raise(SIGSEGV);
          _exit(1);
        }),
        SIGSEGV);
}

TEST(the_handler_that_was_there_before_hears_of_every_other_fault) {
  seen = 0;
  handle(jumping);
  keepFaultHandler();
  CHECK(heldBack());
  EQUAL(seen, 0);
  for (int i = 0; i < 3; ++i) {
    if (sigsetjmp(jump, 1) == 0) wild();
  }
  EQUAL(seen, 3);
  CHECK(heldBack());
  EQUAL(seen, 3);
}

TEST(the_handler_that_comes_after_hears_of_every_other_fault) {
  keepFaultHandler();
  seen = 0;
  handle(jumping);
  keepFaultHandler();
  CHECK(heldBack());
  EQUAL(seen, 0);
  if (sigsetjmp(jump, 1) == 0) wild();
  EQUAL(seen, 1);
}

TEST(a_handler_that_comes_after_and_calls_ours_is_called_once) {
  seen = 0;
  handle(SIG_DFL);
  EQUAL(inChild([] {
          keepFaultHandler();
          handle(nullptr, chaining);
          keepFaultHandler();
          if (!heldBack() || seen != 0) _exit(1);
          wild();
        }),
        SIGSEGV);
  // Behind both, a handler that was installed first.
  EQUAL(inChild([] {
          handle([](int) { _exit(seen == 1 ? 7 : 8); });
          keepFaultHandler();
          handle(nullptr, chaining);
          keepFaultHandler();
          wild();
        }),
        256 + 7);
}

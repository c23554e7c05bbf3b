#pragma once

#include "environment.h"
#include "verbs/rdma_core.h"
#include "watcher.h"

namespace verbs {

// An open device, with the one completion channel that all its queues share.
class Context : public Handle {
 public:
  static constexpr Kind kKind = Kind::Context;

  Context(Environment& environment, ibv_context* ibv) : Handle(kKind, {}), environment(environment), ibv(ibv) {}

  // Starts to watch two descriptors: that of asynchronous events and that of the completion channel. Returns 0 or
  // errno.
  int watch(const char** syscall);
  int release(const char** syscall) override;

  // Whether waits for completions, or for events, keep the process alive.
  void referenceCompletions(bool on);
  void referenceEvents(bool on);

  Environment& environment;
  ibv_context* const ibv;
  bool isRxe = false;
  ibv_comp_channel* channel = nullptr;

 private:
  void onCompletionEvents();
  void onAsyncEvents();

  Watcher* completionWatcher_ = nullptr;
  Watcher* eventWatcher_ = nullptr;
};

}  // namespace verbs

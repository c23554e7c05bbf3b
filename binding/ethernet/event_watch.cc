#include "ethernet/event_watch.h"

#include <uv.h>

#include <utility>

#include "watcher.h"

namespace ethernet {

void EventWatch::start(Environment& environment, int fd, std::function<void()> onEvent) {
  environment_ = &environment;
  fd_ = fd;
  onEvent_ = std::move(onEvent);
}

void EventWatch::stop() {
  if (watcher_) watcher_->stop();
  watcher_ = nullptr;
}

int EventWatch::listen(int events) {
  int error = 0;
  if (!watcher_) watcher_ = Watcher::start(*environment_, fd_, [this] { happened(); }, &error);
  return watcher_ ? watcher_->listen(events) : error;
}

// UV_DISCONNECT never comes, but epoll_ctl(2) always reports errors.
int EventWatch::tellErrors() {
  errors_ = true;
  return listen(UV_DISCONNECT);
}

void EventWatch::errorWasRead() {
  if (errors_ && awaited_ == 0) listen(UV_DISCONNECT);
}

void EventWatch::happened() {
  if (awaited_ == 0 && !(errors_ && watcher_->stopped())) {
    watcher_->listen(errors_ ? UV_DISCONNECT : 0);
    return;
  }
  disarm();
  // It may destroy this, and itself with it.
  const auto onEvent = onEvent_;
  onEvent();
}

int EventWatch::arm(int events, bool referenced) {
  const int error = listen(events);
  if (error) return error;
  awaited_ = events;
  watcher_->reference(referenced);
  return 0;
}

void EventWatch::disarm() {
  awaited_ = 0;
  if (watcher_) watcher_->reference(false);
}

}  // namespace ethernet

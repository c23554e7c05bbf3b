// Waiting for a file descriptor on libuv's loop: no thread, no spinning.
#pragma once

#include <uv.h>

#include <functional>

class Environment;

// Lives on the heap because libuv closes handles asynchronously: stop() hands it back to libuv, which frees it.
// The descriptor may be closed as soon as stop() has returned (uv_poll_stop(3) says so of uv_poll_t).
class Watcher {
 public:
  // Null, with a positive errno in `*error`, when libuv refuses the descriptor.
  static Watcher* start(Environment& environment, int fd, std::function<void()> onReadable, int* error);

  // Polls for these events from now on (UV_READABLE, UV_WRITABLE); 0 pauses it, so that data that nobody reads yet does
  // not wake the loop again and again. Returns 0 or a positive errno.
  int listen(int events);
  // Libuv stops it when the descriptor reports an error, until the next listen().
  bool stopped() const { return events_ == 0; }
  // A referenced watcher keeps the process alive (uv_ref).
  void reference(bool on);
  void stop();

 private:
  Watcher(Environment& environment, std::function<void()> onReadable)
      : environment_(environment), onReadable_(std::move(onReadable)) {}

  Environment& environment_;
  std::function<void()> onReadable_;
  uv_poll_t poll_{};
  int events_ = 0;
};

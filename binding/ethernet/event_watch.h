// Waits for a socket on libuv's loop: one event each time that it is armed.
#pragma once

#include <functional>

class Environment;
class Watcher;

namespace ethernet {

class EventWatch {
 public:
  ~EventWatch() { stop(); }

  // Nothing is watched yet. `onEvent` may destroy this.
  void start(Environment& environment, int fd, std::function<void()> onEvent);
  // From now on an error of the descriptor is an event, armed or not. Returns 0 or a positive errno.
  int tellErrors();
  void stop();

  // One event when the socket is readable, writable (UV_READABLE, UV_WRITABLE) or in error. Returns 0 or a positive
  // errno.
  int arm(int events, bool referenced);
  // Takes that back. The descriptor stays watched until it reports once more: a consumer that waits again at once, as
  // most do, costs no system call.
  void disarm();
  // libuv stops a poll at an error. The error has been read: starts the poll again.
  void errorWasRead();

 private:
  void happened();
  int listen(int events);

  Environment* environment_ = nullptr;
  int fd_ = -1;
  std::function<void()> onEvent_;
  Watcher* watcher_ = nullptr;
  int awaited_ = 0;
  bool errors_ = false;
};

}  // namespace ethernet

// Tells when an interface goes down, up or away, or changes its MTU (rtnetlink(7), RTMGRP_LINK). A packet socket has
// this from the kernel as an error on its descriptor; an AF_XDP socket reports nothing at all.
#pragma once

#include <cstdint>
#include <functional>

class Environment;
class Watcher;

namespace ethernet {

struct LinkState {
  bool present;
  bool up;
  uint32_t mtu;  // 0: not told
};

class LinkWatch {
 public:
  using Callback = std::function<void(LinkState)>;

  ~LinkWatch() { stop(); }

  // Calls back on libuv's loop, and never keeps the process alive. Returns 0 or a positive errno.
  int start(Environment& environment, int32_t interfaceIndex, Callback onChange);
  void stop();

 private:
  void read();
  LinkState ask() const;

  int fd_ = -1;
  int32_t interfaceIndex_ = 0;
  Watcher* watcher_ = nullptr;
  Callback onChange_;
};

}  // namespace ethernet

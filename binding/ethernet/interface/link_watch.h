// Tells when an interface goes down, up or away, loses or finds its carrier, or changes its MTU (rtnetlink(7),
// RTMGRP_LINK). A packet socket reports the first as an error (ENETDOWN), but not the carrier; an AF_XDP socket reports
// nothing at all.
#pragma once

#include <napi.h>

#include <cstdint>

#include "handle_table.h"

class Environment;
class Watcher;

namespace ethernet {

struct LinkState {
  bool present = true;
  bool up = true;
  bool carrier = true;
  bool sends = true;  // Link::sends()
  uint32_t mtu = 0;   // 0: not told
};

class LinkWatch : public Handle {
 public:
  static constexpr Kind kKind = Kind::LinkWatch;

  // Calls onChange(news) on libuv's loop, as look() returns them, and never keeps the process alive. Throws.
  LinkWatch(Environment& environment, int32_t interfaceIndex, Napi::Value onChange);
  ~LinkWatch() override;
  int release(const char** syscall) override;

  // What changed since the last look, 0 when nothing did: kChanged and the other bits that are true, and the MTU above
  // them, 0 when it was not told.
  static constexpr uint32_t kChanged = 1, kPresent = 2, kUp = 4, kSends = 8, kMtuShift = 4;
  uint32_t look();
  // As the link is at this moment.
  LinkState ask() const;

 private:
  void start(Napi::Env env);

  Environment& environment_;
  int fd_ = -1;
  int32_t interfaceIndex_ = 0;
  Watcher* watcher_ = nullptr;
  Napi::FunctionReference onChange_;
};

void initializeLinkWatch(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

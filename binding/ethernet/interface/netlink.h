// A routing socket (rtnetlink(7)): sends and receives messages, which lib/ethernet/interface/netlink writes and parses.
#pragma once

#include <napi.h>

#include <cstdint>
#include <vector>

#include "handle_table.h"

class Environment;
class Watcher;

namespace ethernet {

class NetlinkSocket : public Handle {
 public:
  static constexpr Kind kKind = Kind::NetlinkSocket;

  // `groups` are bits of RTMGRP_* (linux/rtnetlink.h) to listen to; `onEvent` is called on libuv's loop when a message
  // is there, again and again until it is received, or undefined. Throws the VerbsError of the call that failed.
  NetlinkSocket(Environment& environment, uint32_t groups, Napi::Value onEvent);
  ~NetlinkSocket() override;
  int release(const char** syscall) override;

  // To the kernel.
  void send(Napi::Env env, const uint8_t* message, size_t length);
  // The next datagram from the kernel as a Uint8Array of its own, null when there is none. ENOBUFS when messages were
  // lost because nobody read them (netlink(7)).
  Napi::Value receive(Napi::Env env);

 private:
  Environment& environment_;
  int fd_ = -1;
  Watcher* watcher_ = nullptr;
  Napi::FunctionReference onEvent_;
  std::vector<uint8_t> buffer_;
};

// exports.netlink = { open, send, receive }
void initializeNetlink(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

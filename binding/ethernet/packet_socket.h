// An AF_PACKET socket (packet(7)) driven in batches, between the kernel and the frames of an arena. What is here are the
// steps of setting it up, in the order in which lib/ takes them, and its two batch calls.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "ethernet/packet_frames.h"
#include "ethernet/packet_inlet.h"
#include "ethernet/packet_messages.h"
#include "ethernet/packet_outlet.h"
#include "ethernet/packet_ring.h"
#include "ethernet/packet_timestamp.h"
#include "handle_table.h"

class Environment;
class Watcher;

namespace ethernet {

class PacketSocket : public Handle {
 public:
  static constexpr Kind kKind = Kind::PacketSocket;

  // The socket, which receives nothing yet. Throws what is wrong with the options, or the VerbsError of a failed call.
  PacketSocket(Environment& environment, Napi::Object options);
  ~PacketSocket() override;
  int release(const char** syscall) override;

  // Receives by a ring from now on: PacketRing::open() and describe().
  Napi::Value ring(Napi::Env env, uint32_t bytes, uint32_t payload);
  // Reports with each frame when it came: by the kernel's clock, or by the device's. Throws.
  void timestamps(Napi::Env env, bool hardware);
  // From here on frames of `protocol` come; 0: none.
  void bind(Napi::Env env, uint16_t protocol);

  // Takes records from the fill ring, receives into their frames without waiting, and puts what came into the receive
  // ring. Returns how many, or a negative errno.
  int receive();
  // PacketOutlet::transmit().
  int transmit() { return outlet_.transmit(fd_); }

  // Calls onEvent once, on libuv's loop, when the socket is readable, writable or in error. With a ring, which does not
  // tell of errors, it is called for each of these, armed or not.
  void arm(int events, bool referenced);
  // No longer. The descriptor stays watched until it reports once more: a consumer that waits again at once, as most
  // do, costs no system call.
  void disarm();

  // Adds or drops PACKET_MR_MULTICAST, PACKET_MR_PROMISC or PACKET_MR_ALLMULTI (packet(7)).
  void membership(bool add, uint16_t type, const uint8_t* address);
  // Replaces the socket's classic BPF program: four numbers (code, jt, jf, k) an instruction.
  void filter(Napi::Env env, Napi::Value program);
  // { received, truncated, dropped, undescribed } since open.
  Napi::Value statistics(Napi::Env env);
  // Bytes, as the kernel accounts them.
  double receiveBuffer() const;
  double sendBuffer() const { return bufferSize(SO_SNDBUF); }

 private:
  void configure(Napi::Env env, Napi::Object options);
  void watch();
  void happened();
  void enable(int level, int option, int value, const char* name, const char* detail);
  void growBuffer(int option, int force, uint32_t bytes);
  uint32_t bufferSize(int option) const;

  Environment& environment_;
  int fd_ = -1;
  int32_t interfaceIndex_ = 0;

  PacketFrames frames_;
  PacketInlet inlet_;
  PacketMessages messages_;
  PacketRing ring_;
  PacketOutlet outlet_;
  DeviceTimestamps device_;

  uint64_t received_ = 0;
  uint64_t dropped_ = 0;

  Watcher* watcher_ = nullptr;
  int awaited_ = 0;
  Napi::FunctionReference onEvent_;
};

}  // namespace ethernet

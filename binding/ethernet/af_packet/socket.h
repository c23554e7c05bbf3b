// An AF_PACKET socket (packet(7)) driven in batches, between the kernel and the frames of an arena. Here are the steps
// that set it up, in the order in which lib/ takes them, and its two batch calls.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "bell.h"
#include "ethernet/af_packet/inlet.h"
#include "ethernet/af_packet/messages.h"
#include "ethernet/af_packet/outlet.h"
#include "ethernet/af_packet/ring.h"
#include "ethernet/af_packet/timestamp.h"
#include "ethernet/arena_frames.h"
#include "ethernet/event_watch.h"
#include "handle_table.h"

class Environment;

namespace ethernet {

class PacketSocket : public Handle {
 public:
  static constexpr Kind kKind = Kind::PacketSocket;

  // Opens the socket, which receives nothing yet. Throws what is wrong with the options, or the VerbsError of a failed
  // call.
  PacketSocket(Environment& environment, Napi::Object options);
  ~PacketSocket() override;
  int release(const char** syscall) override;

  // Receives through a ring from now on: PacketRing::open() and words().
  Napi::Value ring(Napi::Env env, uint32_t bytes, uint32_t payload);
  // Timestamps received frames, by the kernel's clock or by the device's. Throws.
  void timestamps(Napi::Env env, bool hardware);
  // From here on the socket receives frames of `protocol`; 0: none.
  void bind(Napi::Env env, uint16_t protocol);

  // Joins a fanout group, whose sockets share what arrives (PACKET_FANOUT), after bind(). Returns the group's number,
  // or a negative errno.
  int fanout(uint16_t group, uint16_t type);

  // Takes records from the fill ring, receives into their frames without waiting, and puts the received ones into the
  // receive ring. Returns how many, or a negative errno.
  int receive();
  // PacketOutlet::transmit().
  int transmit() { return outlet_.transmit(); }
  // The same as functions for hot code. With a ring, the receive bell's second word is where the next slot's status
  // word lies in it, in words.
  Napi::Value receiveBell(Napi::Env env, Napi::Value mailbox) { return receiveBell_.bind(env, *this, mailbox, 2); }
  Napi::Value transmitBell(Napi::Env env, Napi::Value mailbox) { return transmitBell_.bind(env, *this, mailbox, 1); }

  // Calls onEvent once, on libuv's loop, when there is something to receive, room to send, or an error. With a ring,
  // whose status words show no error, it is called at each error, armed or not.
  void arm(bool readable, bool writable, bool referenced);
  void disarm();

  // Adds or drops PACKET_MR_MULTICAST, PACKET_MR_PROMISC or PACKET_MR_ALLMULTI (packet(7)).
  void membership(bool add, uint16_t type, const uint8_t* address);
  // Replaces the socket's classic BPF program: four numbers (code, jt, jf, k) an instruction.
  void filter(Napi::Env env, Napi::Value program);
  // { received, truncated, dropped, undescribed } since open.
  Napi::Value statistics(Napi::Env env);
  // In bytes, as the kernel accounts them.
  double receiveBuffer() const;
  double sendBuffer() const { return bufferSize(out_, SO_SNDBUF); }

 private:
  int open(Napi::Env env);
  void configure(Napi::Env env, Napi::Object options);
  void bind(Napi::Env env, int fd, uint16_t protocol);
  void enable(int level, int option, int value, const char* name, const char* detail);
  // Adds the kernel's counters to ours. Returns 0 or a positive errno.
  int count();
  void growBuffer(int fd, int option, int force, uint32_t bytes);
  uint32_t bufferSize(int fd, int option) const;

  Environment& environment_;
  int fd_ = -1;
  // The socket that sends: one of its own where that is possible. PACKET_VNET_HDR, set to receive these headers, also
  // demands one before each frame sent, which costs 45 ns.
  int out_ = -1;
  int32_t interfaceIndex_ = 0;

  ArenaFrames frames_;
  PacketInlet inlet_;
  PacketMessages messages_;
  PacketRing ring_;
  PacketOutlet outlet_;
  DeviceTimestamps device_;

  uint64_t received_ = 0;
  uint64_t dropped_ = 0;
  // Delivered since the kernel's counters, of 32 bits, were read last.
  uint32_t uncounted_ = 0;

  EventWatch watch_;
  EventWatch outWatch_;
  Napi::FunctionReference onEvent_;

  static void ringReceive(PacketSocket& socket, int32_t* mailbox) {
    mailbox[0] = socket.receive();
    mailbox[1] = socket.ring_.nextStatus();
  }
  static void ringTransmit(PacketSocket& socket, int32_t* mailbox) { mailbox[0] = socket.transmit(); }
  Bell<PacketSocket, ringReceive> receiveBell_;
  Bell<PacketSocket, ringTransmit> transmitBell_;
};

}  // namespace ethernet

// An AF_XDP socket (Documentation/networking/af_xdp.rst in the kernel): an arena as its UMEM, and its four rings mapped
// into JavaScript, which drives them. Here are the steps that set it up, in the order in which lib/ takes them, and its
// doorbells. The binding never reads or writes a ring: the kernel validates what JavaScript writes.
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <memory>

#include "bell.h"
#include "ethernet/af_xdp/memory.h"
#include "ethernet/af_xdp/program.h"
#include "ethernet/arena_frames.h"
#include "ethernet/event_watch.h"
#include "ethernet/mapping.h"
#include "handle_table.h"

class Environment;

namespace ethernet {

class XdpSocket : public Handle {
 public:
  static constexpr Kind kKind = Kind::XdpSocket;

  // The socket, its UMEM and its rings. Throws what is wrong with the options, or the VerbsError of a failed call.
  XdpSocket(Environment& environment, Napi::Object options);
  ~XdpSocket() override;
  int release(const char** syscall) override;

  // { fill, receive, transmit, completion }, each { words, flags, layout: { producer, consumer, records, capacity } }:
  // a Uint32Array over the mapping, and where in it things are, in words.
  Napi::Value rings(Napi::Env env);

  // Registers the arena (XDP_UMEM_REG). Throws.
  void registerMemory(Napi::Env env);
  // How another socket's registration of the same arena could be shared.
  XdpSharing sharing() const { return xdp_memory::find(memory_); }
  // Shares it (XDP_SHARED_UMEM); does nothing, and the second is false, when there is none to share any more.
  int bindShared(uint32_t queue, XdpSharing* sharing);

  // These return 0 or a negative errno.
  int bind(uint32_t queue, uint16_t flags);
  int option(int level, int name, int value);
  // The interface's program and map, of this process.
  int joinProgram() { return -XdpProgram::of(interfaceIndex_, &program_); }
  // Adds this socket's piece to the program: from here on it gets its queue's frames. `mode` becomes the one in force.
  int attach(Napi::Env env, Napi::Value program, uint32_t queue, XdpProgram::Mode* mode);
  int replace(Napi::Env env, Napi::Value program);
  // Adds or drops PACKET_MR_MULTICAST, PACKET_MR_PROMISC or PACKET_MR_ALLMULTI. Throws.
  void membership(bool add, uint16_t type, const uint8_t* address);
  // Rings the doorbell of the transmit ring, or of the fill ring. Neither waits.
  int transmit();
  int receive();
  // transmit() as a function for hot code.
  Napi::Value transmitBell(Napi::Env env, Napi::Value mailbox) { return transmitBell_.bind(env, *this, mailbox, 1); }

  // Calls onEvent once, on libuv's loop, when there is something to receive or room to send.
  void arm(int events, bool referenced);
  void disarm() { watch_.disarm(); }

  bool zeroCopy() const;
  Napi::Value statistics(Napi::Env env) const;
  uint32_t bufferSize(int option) const;

 private:
  struct Ring {
    Mapping mapping;
    uint32_t capacity = 0;
    uint32_t producer = 0, consumer = 0, flags = 0, records = 0;  // offsets in bytes
  };
  enum { kFill, kReceive, kTransmit, kCompletion, kRings };

  void configure(Napi::Env env, Napi::Object options);
  void map(Napi::Env env);
  sockaddr_xdp address(uint32_t queue, uint16_t flags) const;

  Environment& environment_;
  int fd_ = -1;
  // A packet socket that receives nothing: AF_XDP has no memberships of its own.
  int memberships_ = -1;
  int32_t interfaceIndex_ = 0;
  ArenaFrames frames_;
  std::array<Ring, kRings> rings_;
  xdp_umem_reg memory_{};
  std::shared_ptr<XdpProgram> program_;
  XdpProgram::Member member_{};
  bool attached_ = false;

  EventWatch watch_;
  Napi::FunctionReference onEvent_;

  static void ringTransmit(XdpSocket& socket, int32_t* mailbox) { mailbox[0] = socket.transmit(); }
  Bell<XdpSocket, ringTransmit> transmitBell_;
};

}  // namespace ethernet

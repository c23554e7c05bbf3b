// An AF_PACKET socket (packet(7)) driven in batches: recvmmsg and sendmmsg between the kernel and the frames of an arena.
#pragma once

#include <napi.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "handle_table.h"
#include "ring/shared_ring.h"
#include "shared_memory.h"

class Environment;
class Watcher;

namespace ethernet {

class PacketSocket : public Handle {
 public:
  static constexpr Kind kKind = Kind::PacketSocket;

  // Throws what is wrong with the options, or the VerbsError of the call that failed.
  PacketSocket(Environment& environment, Napi::Object options);
  ~PacketSocket() override;
  int release(const char** syscall) override;

  // Takes records from the fill ring, receives into their frames without waiting, and puts what came into the receive
  // ring. Returns how many, or a negative errno: -ERANGE when JavaScript's indices cannot be true, -EFAULT when the next
  // record names no frame of the arena (it is then skipped), else that of recvmmsg(2).
  int receive();
  // Sends what is in the transmit ring, without waiting, and reports each frame that is done with in the completion
  // ring. Returns 0 when all are done with, else the negative errno that stopped it, as receive() does.
  int transmit();

  // Calls onEvent once, on libuv's loop, when the socket is readable, writable or in error.
  void arm(int events, bool referenced);
  // No longer. The descriptor stays watched until it reports once more: a consumer that waits again at once, as most
  // do, costs no system call.
  void disarm();

  // Adds or drops PACKET_MR_MULTICAST, PACKET_MR_PROMISC or PACKET_MR_ALLMULTI (packet(7)).
  void membership(bool add, uint16_t type, const uint8_t* address);
  // Replaces the socket's classic BPF program: four numbers (code, jt, jf, k) an instruction.
  void filter(Napi::Env env, Napi::Value program);
  Napi::Value statistics(Napi::Env env);
  uint32_t bufferSize(int option) const;

 private:
  void configure(Napi::Env env, Napi::Object options);
  void enable(int level, int option, const char* name, const char* detail);
  void growBuffer(int option, int force, uint32_t bytes);
  void allocate();
  uint32_t prepare(uint32_t wanted);
  void advance(uint32_t count);
  void describe(uint32_t frame, const msghdr& message, uint32_t length, uint32_t original);
  void complete(uint32_t address, uint32_t status);
  bool frameAt(uint32_t address, uint32_t* frame) const;

  Environment& environment_;
  int fd_ = -1;
  int32_t interfaceIndex_ = 0;
  uint32_t batch_ = 0;
  uint32_t frameSize_ = 0;
  uint32_t headroom_ = 0;
  uint32_t frameCount_ = 0;

  SharedMemory arena_;
  SharedMemory frames_;
  SharedRing fill_;
  SharedRing receive_;
  SharedRing transmit_;
  SharedRing completion_;

  // Made once at open, so that a batch allocates nothing.
  std::vector<mmsghdr> incoming_;
  std::vector<mmsghdr> outgoing_;
  std::vector<iovec> incomingBytes_;
  std::vector<iovec> outgoingBytes_;
  std::vector<uint8_t> names_;
  std::vector<uint64_t> controls_;
  std::vector<uint32_t> sending_;    // addresses
  std::vector<uint32_t> receiving_;  // frames
  // How many fill records have been copied into receiving_ and incomingBytes_ and not been received into yet.
  uint32_t prepared_ = 0;

  uint64_t received_ = 0;
  uint64_t truncated_ = 0;
  uint64_t dropped_ = 0;

  Watcher* watcher_ = nullptr;
  int awaited_ = 0;
  Napi::FunctionReference onEvent_;
};

}  // namespace ethernet

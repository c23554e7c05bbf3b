// Receiving from a ring that the kernel writes frames to (PACKET_MMAP, TPACKET_V2;
// Documentation/networking/packet_mmap.rst in the kernel), mapped into JavaScript: its slots' status words tell without
// a system call whether a frame is there. Frames are copied out, so that a slot goes back to the kernel at once and a
// frame that is kept blocks no slot.
//
// JavaScript can write anything into the mapping: each word of a slot's header is read once and checked.
#pragma once

#include <napi.h>

#include <cstdint>

#include "ethernet/af_packet/inlet.h"
#include "ethernet/af_packet/metadata.h"
#include "ethernet/mapping.h"

namespace ethernet {

class PacketRing {
 public:
  explicit PacketRing(PacketInlet& inlet) : inlet_(inlet) {}

  // Gives the socket a ring of about `bytes` bytes whose slots hold frames of `payload` bytes. Before bind(2). Throws
  // the VerbsError of what failed; the socket then has none.
  void open(Napi::Env env, int fd, uint32_t bytes, uint32_t payload);
  void close() { mapping_.close(); }
  bool isOpen() const { return mapping_.isOpen(); }
  size_t length() const { return mapping_.length(); }

  // A Uint32Array over the ring. Each slot begins with its status word.
  Napi::Value words(Napi::Env env) const;

  // How many frames were received; as many slots were taken, in order. Or a negative errno: PacketInlet::prepare()'s,
  // -EBADMSG when the next slot's header cannot be true (the slot is then skipped), or the socket's SO_ERROR, read when
  // no frame is there.
  int receive(int fd);

  // Where the next slot's status word lies, in words from the ring's beginning.
  int32_t nextStatus() const {
    return isOpen() ? static_cast<int32_t>((slot(next_) - mapping_.data()) / sizeof(uint32_t)) : 0;
  }

  // Which timestamps frames are reported with: a TP_STATUS_TS_* bit, TP_STATUS_USER for any time.
  uint32_t stamped = 0;

 private:
  uint8_t* slot(uint32_t index) const {
    return mapping_.data() + size_t{index / slotsPerBlock_} * blockSize_ + index % slotsPerBlock_ * slotSize_;
  }
  bool take(int fd, const uint8_t* slot, uint32_t status, uint8_t* place, PacketMetadata* metadata) const;
  bool takeWhole(int fd, uint32_t length, uint8_t* place, PacketMetadata* metadata) const;

  PacketInlet& inlet_;
  Mapping mapping_;
  uint32_t blockSize_ = 0;
  uint32_t slotSize_ = 0;
  uint32_t slotsPerBlock_ = 1;
  uint32_t slots_ = 0;
  uint32_t next_ = 0;
};

}  // namespace ethernet

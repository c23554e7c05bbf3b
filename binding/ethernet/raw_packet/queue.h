// A raw packet queue pair (ibv_create_qp(3), IBV_QPT_RAW_PACKET) driven in batches: ibv_post_recv, ibv_post_send and
// ibv_poll_cq between the device and the frames of an arena, which it reads and writes itself.
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <vector>

#include "bell.h"
#include "ethernet/arena_frames.h"
#include "handle_table.h"
#include "ring/shared_ring.h"
#include "verbs/memory_region.h"
#include "verbs/queue_pair.h"

namespace ethernet {

class RawPacketQueue : public Handle {
 public:
  static constexpr Kind kKind = Kind::RawPacketQueue;

  // `region` is registered over the arena; `overflow` takes the rest of a frame that is longer than its place.
  struct Parts {
    verbs::QueuePair& pair;
    verbs::MemoryRegion& region;
    verbs::MemoryRegion& overflow;
  };

  // Throws what is wrong with the options.
  RawPacketQueue(Parts parts, Napi::Object options);
  int release(const char** syscall) override;

  // Posts the frames of the fill ring, and puts those received into the receive ring. Returns how many, or a negative
  // errno: -ERANGE when JavaScript's indices cannot be true, -EFAULT when the next record names no frame of the arena
  // (it is then skipped), -EIO once the device has given up the queue (`failure()` says why), else that of
  // ibv_post_recv(3).
  int receive();
  // The first half of receive(): 0, or the negative errno.
  int replenish() { return failure_ ? 0 : postReceives(); }
  // Posts the frames of the transmit ring, and reports those that have completed in the completion ring. Returns 0 when
  // all were posted, -EAGAIN when the device's queue is full, -EMSGSIZE when the next frame is too long (it is then
  // reported), else the negative errno that stopped it, as receive() does.
  int transmit();
  // The same as functions for hot code.
  Napi::Value receiveBell(Napi::Env env, Napi::Value mailbox) { return receiveBell_.bind(env, *this, mailbox, 1); }
  Napi::Value transmitBell(Napi::Env env, Napi::Value mailbox) { return transmitBell_.bind(env, *this, mailbox, 1); }

  // Asks for an event at the next receive, or send, that completes (ibv_req_notify_cq(3)). Returns 1 if one has
  // completed already (it is then in the ring), 0, or a negative errno.
  int arm(bool readable, bool writable);

  // ibv_wc_status of the first completion that failed; 0 while none has.
  uint32_t failure() const { return failure_; }
  uint64_t received() const { return received_; }
  uint64_t truncated() const { return truncated_; }

 private:
  int postReceives();
  int take();
  int reap();
  int postSends(uint32_t available, uint32_t* posted);
  void describe(uint32_t frame, uint32_t original, unsigned flags);
  uint32_t packetType(const uint8_t* destination) const;
  void complete(uint32_t address, uint32_t status);

  Parts parts_;
  uint32_t batch_ = 0;
  uint32_t longest_ = 0;  // bytes of a frame that the device takes, without a VLAN tag
  uint32_t sendFlags_ = 0;
  uint32_t sendDepth_ = 0;
  uint32_t receiveDepth_ = 0;
  std::array<uint8_t, 6> own_{};

  ArenaFrames frames_;
  SharedRing fill_;
  SharedRing receive_;
  SharedRing transmit_;
  SharedRing completion_;

  // Made once at open, so that a batch allocates nothing.
  verbs::RequestList<ibv_recv_wr> receives_;  // two elements each: the frame's place, then the overflow
  verbs::RequestList<ibv_send_wr> sends_;
  std::vector<uint32_t> sent_;  // addresses of the posted sends, a ring of a power of two
  uint32_t sentMask_ = 0;

  uint32_t receiving_ = 0;  // receives posted and not completed
  uint32_t sendHead_ = 0;   // counts sends that were posted
  uint32_t sendTail_ = 0;   // counts sends that have completed
  uint32_t failure_ = 0;
  uint64_t received_ = 0;
  uint64_t truncated_ = 0;

  static void ringReceive(RawPacketQueue& queue, int32_t* mailbox) { mailbox[0] = queue.receive(); }
  static void ringTransmit(RawPacketQueue& queue, int32_t* mailbox) { mailbox[0] = queue.transmit(); }
  Bell<RawPacketQueue, ringReceive> receiveBell_;
  Bell<RawPacketQueue, ringTransmit> transmitBell_;
};

void initializeRawPacketQueue(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

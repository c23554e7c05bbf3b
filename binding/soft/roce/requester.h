// The sending half of an RC or UC queue pair: WQEs become packets, in order; an RC requester keeps each WQE until it is
// acknowledged, and sends again from where a NAK or a timeout says that something was lost (go-back-N).
//
// Nothing is buffered for that: a WQE stays in the ring, and its bytes in the application's memory, until its
// completion. So a retransmission reads both again, and checks both again.
#pragma once

#include <cstdint>
#include <memory>

#include "nic/engine.h"
#include "roce/packet.h"
#include "roce/path.h"
#include "roce/psn.h"
#include "roce/request.h"

namespace soft {
namespace roce {

class Requester {
 public:
  Requester(Engine& engine, QueuePair& qp, bool reliable);

  bool transmit(const Path& path);
  // An acknowledgement, or the response to a read or an atomic operation.
  void receive(const Packet& packet);

  // Sets the first PSN; once something is outstanding, it stays.
  void start(uint32_t psn) {
    if (empty()) nextPsn_ = oldestPsn_ = sentEnd_ = psn & kPsnMask;
  }
  void reset();
  // Takes back everything that was not completed: qp.sendHead names the oldest such WQE again.
  void abandon();
  void drain(bool notify) { notifyDrained_ = notify; }

  uint64_t deadline() const;
  uint32_t psn() const { return nextPsn_; }

 private:
  // A WQE that was begun and is not completed.
  struct Outstanding {
    uint16_t index;  // its first basic block
    uint8_t opcode;  // MLX5_OPCODE_*
    bool signaled;
    bool waitsForData;  // a read or an atomic operation: only the response completes it
    uint32_t firstPsn;
    uint32_t packets;  // sequence numbers that it takes; a read takes one for each packet of the response
    uint32_t length;   // bytes of the message
    uint8_t syndrome;  // MLX5_CQE_SYNDROME_*, when it cannot be done: reported when its turn to complete comes
    VendorSyndrome vendor;
  };

  enum class Progress : uint8_t { sent, stalled, finished };

  Outstanding& at(uint32_t position) { return outstanding_[position & mask_]; }
  bool empty() const { return oldest_ == end_; }

  // Begins the next posted WQE. False when there is none, or it has to wait.
  bool admit();
  void admitLocal(const SendWqe& wqe, Outstanding& entry);
  // Sends packets of the WQE at the cursor, `budget` of them at most.
  Progress sendCurrent(const Path& path, uint32_t* budget);
  bool sendData(const Path& path, const Request& request, const SendWqe& wqe, const GatherList& list,
                const Outstanding& entry);
  bool sendDataless(const Path& path, const Request& request, const Outstanding& entry);
  void packetSent(uint32_t psnEnd);
  uint32_t windowUsed(uint32_t psn) const { return static_cast<uint32_t>(psnDistance(oldestPsn_, psn)); }

  void acknowledgement(const Packet& packet);
  void readResponse(const Packet& packet);
  void atomicResponse(const Packet& packet);
  // Everything before `psn` has arrived. False when a response that should have come before is missing.
  bool acknowledgeBefore(uint32_t psn);
  // The response at oldestPsn_ does not come any more: asks again, once.
  void responseLost();
  void goBack(uint32_t psn);
  // Tries once more, or fails when the retries are used up.
  void retry(uint32_t psn);
  void responseDone(Outstanding& entry, uint32_t packets);
  // Puts a response where the WQE says, or keeps it for the completion where that is to bring it (cs_req).
  ScatterResult place(const Outstanding& entry, const ReceiveWqe& list, uint64_t offset, const uint8_t* data,
                      uint32_t length);
  void progress();

  // Completes, in order, what is done; reports the failure that has come to the front.
  void settle();
  void refuse(Outstanding& entry, uint8_t syndrome, VendorSyndrome vendor);
  void failOldest(uint8_t syndrome, VendorSyndrome vendor);

  Engine& engine_;
  QueuePair& qp_;
  const bool reliable_;

  std::unique_ptr<Outstanding[]> outstanding_;  // a ring, as large as the send queue
  uint32_t mask_;
  uint32_t oldest_ = 0;  // positions, modulo 2^32
  uint32_t cursor_ = 0;  // the WQE being sent
  uint32_t end_ = 0;
  uint32_t cursorPacket_ = 0;  // how many of its packets are out

  uint32_t nextPsn_ = 0;    // of the next new message
  uint32_t oldestPsn_ = 0;  // the first that is not acknowledged
  uint32_t sentEnd_ = 0;    // behind the last that was ever sent
  uint32_t reads_ = 0;      // reads and atomics outstanding

  uint64_t ackDeadline_ = kNever;
  uint64_t rnrUntil_ = 0;
  uint8_t retries_ = 0;
  uint8_t rnrRetries_ = 0;
  bool repeated_ = false;  // oldestPsn_ was asked for again because later news made its loss certain
  bool notifyDrained_ = false;
  // The response of the oldest WQE, which completes next.
  uint8_t response_[64];
  bool hasResponse_ = false;
};

}  // namespace roce
}  // namespace soft

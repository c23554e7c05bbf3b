// The receiving half of an RC or UC queue pair: packets become bytes in memory, receive WQEs and CQEs. An RC responder
// answers for each: in PSN order, out of a queue, because the response to a read may take many packets, and what came
// behind the read has to wait for them.
#pragma once

#include <cstdint>

#include "nic/engine.h"
#include "roce/packet.h"
#include "roce/path.h"
#include "roce/psn.h"

namespace soft {
namespace roce {

class Responder {
 public:
  // max_qp_rd_atom: reads and atomic operations that a peer may have outstanding here.
  static constexpr uint32_t kMaxReads = 16;

  Responder(Engine& engine, QueuePair& qp, bool reliable) : engine_(engine), qp_(qp), reliable_(reliable) {}

  void receive(const Packet& packet);
  bool transmit(const Path& path);

  void start(uint32_t psn) { expected_ = psn & kPsnMask; }
  void reset();
  // Gives back the receive WQE in use, as flushed. Answers that are due are still given when it was the responder
  // itself that ended the connection: its last one says why.
  void abandon();
  uint32_t psn() const { return expected_; }

 private:
  enum class Message : uint8_t { none, send, write };

  // What is still to be sent back.
  struct Answer {
    enum class Kind : uint8_t { acknowledge, atomic, read };
    Kind kind;
    uint8_t syndrome;  // AETH
    uint32_t psn;
    uint32_t msn;
    uint64_t original;  // atomic: what was there before
    uint64_t address;   // read
    uint32_t rkey;
    uint32_t length;
    uint32_t sent;  // packets of the response that are out
    bool repeated;  // asked for again
  };

  // What is kept of an atomic operation, in case its response is lost: repeating it would be wrong.
  struct AtomicResult {
    uint32_t psn;
    uint64_t original;
    bool valid;
  };

  void receiveReliable(const Packet& packet);
  void receiveUnreliable(const Packet& packet);
  void duplicate(const Packet& packet);

  // The operations. Each returns whether the packet was taken: then the expected PSN moves on.
  bool dispatch(const Packet& packet);
  bool send(const Packet& packet, bool first, bool last);
  bool write(const Packet& packet, bool first, bool last);
  bool read(const Packet& packet);
  bool atomic(const Packet& packet);

  // What the queue pair does not allow is an invalid request; what only the key does not, an access error (IBTA table
  // 44).
  bool allows(uint32_t access) const { return (qp_.attributes.accessFlags & access) != 0; }
  bool takeReceive();
  bool checkSize(const Packet& packet, bool last) const;
  bool scatter(const Packet& packet, bool whole);
  // Whether the message, which is all in this packet, comes with its completion.
  bool comesInline(const Packet& packet) const;
  void complete(const Packet& packet, uint8_t cqeOpcode, uint32_t bytes, bool inlined);

  // Refusals: of a request, which says an event; of what a receive WQE allows, which says its completion.
  bool refuse(NakCode code, AsyncEventType event);
  bool refuseWrite(bool immediate);
  bool refuseReceive(NakCode code, uint8_t receiveSyndrome, VendorSyndrome vendor);
  // The same without an answer: the requester hears nothing.
  bool failReceive(uint8_t receiveSyndrome, VendorSyndrome vendor);
  bool notReady();
  void die(NakCode code);

  Answer* push(Answer::Kind kind, uint32_t psn);
  void acknowledge(uint32_t psn);
  void negative(uint8_t syndrome, uint32_t psn);
  bool sendAnswer(const Path& path, const Answer& answer);
  bool readRefused(const Answer& answer);
  bool sendReadPackets(const Path& path, Answer& answer, uint32_t* budget);
  uint32_t pendingReads() const;
  Answer& at(uint32_t position) { return answers_[position % kAnswers]; }
  const Answer& at(uint32_t position) const { return answers_[position % kAnswers]; }

  Engine& engine_;
  QueuePair& qp_;
  const bool reliable_;

  uint32_t expected_ = 0;  // the PSN that comes next
  uint32_t messages_ = 0;  // MSN: messages completed
  bool refused_ = false;   // a NAK for expected_ is out: what follows it is dropped in silence until it comes
  bool dying_ = false;     // on the way to ERR by a refusal of our own

  Message message_ = Message::none;
  bool skipping_ = false;  // UC: packets of a message that lost one are dropped up to the next first packet
  uint64_t received_ = 0;  // bytes of the message
  ReceiveWqe wqe_;
  bool holdsWqe_ = false;
  uint64_t address_ = 0;  // of a write
  uint32_t rkey_ = 0;
  uint32_t length_ = 0;

  // Acknowledgements merge with one before them, so beside each read or atomic there is one at most, and the
  // duplicates.
  static constexpr uint32_t kAnswers = 128;
  Answer answers_[kAnswers];
  uint32_t firstAnswer_ = 0, endAnswer_ = 0;

  AtomicResult atomics_[kMaxReads] = {};
  uint32_t nextAtomic_ = 0;
};

}  // namespace roce
}  // namespace soft

// What an RC responder sends back: acknowledgements, NAKs, responses to reads and atomic operations.
#include <algorithm>
#include <cstring>

#include "roce/psn.h"
#include "roce/responder.h"

namespace soft {
namespace roce {

namespace {

constexpr uint32_t kBatch = 64;  // packets of responses before the next queue pair's turn

}  // namespace

Responder::Answer* Responder::push(Answer::Kind kind, uint32_t psn) {
  if (endAnswer_ - firstAnswer_ == kAnswers) return nullptr;
  Answer& answer = at(endAnswer_++);
  answer = Answer{};
  answer.kind = kind;
  answer.psn = psn;
  answer.syndrome = Aeth::kAck | Aeth::kNoCredits;
  answer.msn = messages_;
  return &answer;
}

// Acknowledgements are cumulative: the last one says it all (IBTA 9.7.5).
void Responder::acknowledge(uint32_t psn) {
  if (endAnswer_ != firstAnswer_) {
    Answer& last = at(endAnswer_ - 1);
    if (last.kind == Answer::Kind::acknowledge && (last.syndrome & Aeth::kKindMask) == Aeth::kAck) {
      last.psn = psn;
      last.msn = messages_;
      return;
    }
  }
  push(Answer::Kind::acknowledge, psn);  // when full: lost, and the requester asks again
}

void Responder::negative(uint8_t syndrome, uint32_t psn) {
  // When full, a NAK takes the last answer's place: that is then lost, and asked for again.
  Answer* answer = push(Answer::Kind::acknowledge, psn);
  if (answer == nullptr) {
    --endAnswer_;
    answer = push(Answer::Kind::acknowledge, psn);
  }
  answer->syndrome = syndrome;
}

uint32_t Responder::pendingReads() const {
  uint32_t count = 0;
  for (uint32_t i = firstAnswer_; i != endAnswer_; ++i) {
    if (at(i).kind != Answer::Kind::acknowledge && !at(i).repeated) ++count;
  }
  return count;
}

bool Responder::transmit(const Path& path) {
  uint32_t budget = kBatch;
  while (budget != 0 && firstAnswer_ != endAnswer_) {
    Answer& answer = at(firstAnswer_);
    if (answer.kind == Answer::Kind::read) {
      if (!sendReadPackets(path, answer, &budget)) break;
    } else {
      if (!sendAnswer(path, answer)) break;
      --budget;
    }
    ++firstAnswer_;
  }
  return budget != kBatch;
}

bool Responder::sendAnswer(const Path& path, const Answer& answer) {
  const bool atomic = answer.kind == Answer::Kind::atomic;
  PacketWriter packet;
  if (!packet.open(engine_, *qp_.port, path, Bth::kSize + Aeth::kSize + (atomic ? kAtomicAckSize : 0))) return false;
  uint8_t* to = packet.bth();
  Bth::write(to, kServiceRc | (atomic ? kAtomicAcknowledge : kAcknowledge), false, packet.pad(),
             qp_.attributes.destinationQpn, false, answer.psn);
  Aeth::write(to + Bth::kSize, answer.syndrome, answer.msn);
  if (atomic) store64(to + Bth::kSize + Aeth::kSize, answer.original);
  packet.commit();
  return true;
}

// What was to be read is not there any more. Nothing behind it is answered.
bool Responder::readRefused(const Answer& answer) {
  const uint32_t psn = psnAdd(answer.psn, answer.sent);
  firstAnswer_ = endAnswer_;
  dying_ = true;
  negative(Aeth::kNak | kNakRemoteAccess, psn);
  engine_.toError(qp_);
  engine_.raise(AsyncEventType::qpAccessError, qp_);
  return false;
}

// True when the whole response is out.
bool Responder::sendReadPackets(const Path& path, Answer& answer, uint32_t* budget) {
  const uint32_t mtu = qp_.attributes.pathMtu;
  const uint32_t packets = packetsOf(answer.length, mtu);
  const uint8_t* from = nullptr;
  if (answer.length != 0) {
    // Looked up anew at each turn: the region may be gone.
    from = engine_.memory().translateRemote(answer.rkey, answer.address, answer.length, qp_.pd, kAccessRemoteRead,
                                            qp_.number);
    if (from == nullptr) return readRefused(answer);
  }
  while (answer.sent != packets) {
    if (*budget == 0) return false;
    const bool first = answer.sent == 0, last = answer.sent + 1 == packets;
    const uint32_t offset = answer.sent * mtu;
    const uint32_t bytes = std::min(mtu, answer.length - offset);
    const bool aeth = first || last;
    PacketWriter packet;
    if (!packet.open(engine_, *qp_.port, path, Bth::kSize + (aeth ? Aeth::kSize : 0) + bytes)) return false;
    const uint8_t operation =
        first ? (last ? kReadResponseOnly : kReadResponseFirst) : (last ? kReadResponseLast : kReadResponseMiddle);
    uint8_t* to = packet.bth();
    Bth::write(to, kServiceRc | operation, false, packet.pad(), qp_.attributes.destinationQpn, false,
               psnAdd(answer.psn, answer.sent));
    to += Bth::kSize;
    if (aeth) {
      Aeth::write(to, answer.syndrome, answer.msn);
      to += Aeth::kSize;
    }
    if (bytes != 0 && !guardedCopy(to, from + offset, bytes)) return readRefused(answer);
    packet.commit();
    ++answer.sent;
    --*budget;
  }
  return true;
}

}  // namespace roce
}  // namespace soft

#include "roce/responder.h"

#include <algorithm>
#include <cstring>

namespace soft {
namespace roce {

void Responder::reset() {
  expected_ = messages_ = 0;
  refused_ = dying_ = skipping_ = false;
  message_ = Message::none;
  received_ = 0;
  holdsWqe_ = false;
  firstAnswer_ = endAnswer_ = 0;
  for (AtomicResult& result : atomics_) result.valid = false;
}

void Responder::abandon() {
  message_ = Message::none;
  if (!dying_) firstAnswer_ = endAnswer_;
  if (!holdsWqe_) return;
  holdsWqe_ = false;
  engine_.completeReceiveError(qp_, wqe_.index, MLX5_CQE_SYNDROME_WR_FLUSH_ERR, VendorSyndrome::flushed);
}

void Responder::receive(const Packet& packet) {
  if (!qp_.established && qp_.state == QueuePairState::rtr) {
    qp_.established = true;
    engine_.raise(AsyncEventType::communicationEstablished, qp_);
  }
  if (reliable_) {
    receiveReliable(packet);
  } else {
    receiveUnreliable(packet);
  }
}

// IBTA 9.7.4: the PSN that is expected, one before it (a duplicate), or one behind it (something was lost).
void Responder::receiveReliable(const Packet& packet) {
  const int32_t ahead = psnDistance(expected_, packet.psn);
  if (ahead < 0) {
    duplicate(packet);
    return;
  }
  if (ahead > 0) {
    if (!refused_) negative(Aeth::kNak | kNakSequence, expected_);
    refused_ = true;
    return;
  }
  refused_ = false;
  if (dispatch(packet) && packet.ackRequest && packet.operation() != kReadRequest &&
      packet.operation() != kCompareSwap && packet.operation() != kFetchAdd) {
    acknowledge(packet.psn);
  }
}

// IBTA 9.8: UC sends nothing again, so a gap ends the message, and the next first packet begins a new one.
void Responder::receiveUnreliable(const Packet& packet) {
  const uint8_t operation = packet.operation();
  const bool begins = operation == kSendFirst || operation == kSendOnly || operation == kSendOnlyImmediate ||
                      operation == kWriteFirst || operation == kWriteOnly || operation == kWriteOnlyImmediate;
  if (begins) {
    message_ = Message::none;  // an unfinished one before it is lost; its receive WQE serves again
    skipping_ = false;
  } else if (skipping_ || message_ == Message::none || packet.psn != expected_) {
    skipping_ = true;
    message_ = Message::none;
    return;
  }
  expected_ = packet.psn;
  if (dispatch(packet)) return;
  message_ = Message::none;
  skipping_ = true;
}

bool Responder::dispatch(const Packet& packet) {
  const uint8_t operation = packet.operation();
  switch (operation) {
    case kSendFirst: return send(packet, true, false);
    case kSendMiddle: return send(packet, false, false);
    case kSendLast:
    case kSendLastImmediate:
    case kSendLastInvalidate: return send(packet, false, true);
    case kSendOnly:
    case kSendOnlyImmediate:
    case kSendOnlyInvalidate: return send(packet, true, true);
    case kWriteFirst: return write(packet, true, false);
    case kWriteMiddle: return write(packet, false, false);
    case kWriteLast:
    case kWriteLastImmediate: return write(packet, false, true);
    case kWriteOnly:
    case kWriteOnlyImmediate: return write(packet, true, true);
    case kReadRequest: return read(packet);
    default: return atomic(packet);
  }
}

// A packet that is not its message's last is exactly as large as the path MTU (IBTA 9.7.4).
bool Responder::checkSize(const Packet& packet, bool last) const {
  return last ? packet.payloadLength <= qp_.attributes.pathMtu : packet.payloadLength == qp_.attributes.pathMtu;
}

bool Responder::takeReceive() {
  if (!holdsWqe_) holdsWqe_ = engine_.takeReceive(qp_, &wqe_);
  return holdsWqe_;
}

bool Responder::send(const Packet& packet, bool first, bool last) {
  if (first != (message_ == Message::none) || (!first && message_ != Message::send) || !checkSize(packet, last)) {
    return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  }
  if (first) {
    if (!takeReceive()) return notReady();
    received_ = 0;
    message_ = Message::send;
  }
  if (!scatter(packet, first && last)) return false;
  if (!last) {
    expected_ = psnAdd(expected_, 1);
    return true;
  }
  uint8_t opcode = MLX5_CQE_RESP_SEND;
  const uint8_t operation = packet.operation();
  if (operation == kSendLastInvalidate || operation == kSendOnlyInvalidate) {
    // It takes a memory window of type 2 that is bound to this queue pair (IBTA 10.6). When it cannot be done, the
    // message gets no answer (an error of class J; kernel: RESPST_ERR_INVALIDATE_RKEY).
    if (!engine_.memory().invalidate(load32(packet.immediate), qp_.pd, qp_.number)) {
      return failReceive(MLX5_CQE_SYNDROME_LOCAL_ACCESS_ERR, VendorSyndrome::localProtection);
    }
    opcode = MLX5_CQE_RESP_SEND_INV;
  } else if (packet.immediate != nullptr) {
    opcode = MLX5_CQE_RESP_SEND_IMM;
  }
  expected_ = psnAdd(expected_, 1);
  complete(packet, opcode, static_cast<uint32_t>(received_), first && comesInline(packet));
  return true;
}

bool Responder::comesInline(const Packet& packet) const {
  return qp_.scatterReceives && packet.payloadLength != 0 && packet.payloadLength <= qp_.receiver.cq->inlineRoom();
}

bool Responder::scatter(const Packet& packet, bool whole) {
  const uint32_t pd = qp_.srq != nullptr ? qp_.srq->pd : qp_.pd;
  // A packet that does not fit is not written in part.
  const bool fits = received_ + packet.payloadLength <= wqe_.capacity();
  ScatterResult result = ScatterResult::tooLong;
  if (fits && whole && comesInline(packet)) {
    // libmlx5 copies it where the WQE says; that a card looks at the keys although it writes nothing is inferred.
    result = wqe_.check(engine_.memory(), pd, packet.payloadLength);
  } else if (fits) {
    result = wqe_.scatter(engine_.memory(), pd, received_, packet.payload, packet.payloadLength);
  }
  if (result == ScatterResult::tooLong) {
    return refuseReceive(kNakInvalidRequest, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
  }
  if (result == ScatterResult::protection) {
    return refuseReceive(kNakRemoteOperation, MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
  }
  received_ += packet.payloadLength;
  return true;
}

void Responder::complete(const Packet& packet, uint8_t cqeOpcode, uint32_t bytes, bool inlined) {
  Cqe cqe(cqeOpcode, packet.solicited, qp_.userIndex, qp_.number, wqe_.index);
  cqe.setByteCount(bytes);
  if (packet.immediate != nullptr) cqe.setImmediate(packet.immediate);
  cqe.setSource(qp_.attributes.destinationQpn);
  if (inlined) cqe.setInline(packet.payload, packet.payloadLength, qp_.receiver.cq->inlineRoom());
  message_ = Message::none;
  holdsWqe_ = false;
  messages_ = psnAdd(messages_, 1);
  engine_.complete(qp_.receiver.cq, cqe, &qp_);
}

bool Responder::write(const Packet& packet, bool first, bool last) {
  if (first != (message_ == Message::none) || (!first && message_ != Message::write) || !checkSize(packet, last)) {
    return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  }
  const bool immediate = packet.immediate != nullptr;
  if (first) {
    if (!allows(kAccessRemoteWrite)) return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
    address_ = packet.address;
    rkey_ = packet.rkey;
    length_ = packet.length;
    received_ = 0;
    if (length_ != 0 &&
        engine_.memory().translateRemote(rkey_, address_, length_, qp_.pd, kAccessRemoteWrite, qp_.number) == nullptr) {
      return refuseWrite(immediate);
    }
  }
  const uint64_t after = received_ + packet.payloadLength;
  if (after > length_ || (last && after != length_)) {
    return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  }
  if (immediate && !takeReceive()) return notReady();
  if (packet.payloadLength != 0) {
    uint8_t* to = engine_.memory().translateRemote(rkey_, address_ + received_, packet.payloadLength, qp_.pd,
                                                   kAccessRemoteWrite, qp_.number);
    if (to == nullptr) return refuseWrite(immediate);  // gone meanwhile
    if (!guardedLand(to, packet.payload, packet.payloadLength)) return refuseWrite(immediate);
  }
  received_ = after;
  expected_ = psnAdd(expected_, 1);
  message_ = last ? Message::none : Message::write;
  if (!last) return true;
  if (immediate) {
    complete(packet, MLX5_CQE_RESP_WR_IMM, length_, false);
  } else {
    messages_ = psnAdd(messages_, 1);
  }
  return true;
}

bool Responder::read(const Packet& packet) {
  if (message_ != Message::none || !allows(kAccessRemoteRead) ||
      pendingReads() >= qp_.attributes.maxDestinationReadAtomic || packet.length > 1u << 31) {
    return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  }
  if (packet.length != 0 && engine_.memory().translateRemote(packet.rkey, packet.address, packet.length, qp_.pd,
                                                             kAccessRemoteRead, qp_.number) == nullptr) {
    return refuse(kNakRemoteAccess, AsyncEventType::qpAccessError);
  }
  Answer* answer = push(Answer::Kind::read, packet.psn);
  if (answer == nullptr) return false;  // as if it had been lost
  messages_ = psnAdd(messages_, 1);
  answer->msn = messages_;
  answer->address = packet.address;
  answer->rkey = packet.rkey;
  answer->length = packet.length;
  expected_ = psnAdd(expected_, packetsOf(packet.length, qp_.attributes.pathMtu));
  return true;
}

bool Responder::atomic(const Packet& packet) {
  if (message_ != Message::none || !allows(kAccessRemoteAtomic) ||
      pendingReads() >= qp_.attributes.maxDestinationReadAtomic || (packet.address & 7) != 0) {
    return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  }
  uint8_t* memory =
      engine_.memory().translateRemote(packet.rkey, packet.address, 8, qp_.pd, kAccessRemoteAtomic, qp_.number);
  if (memory == nullptr) return refuse(kNakRemoteAccess, AsyncEventType::qpAccessError);
  // A region whose memory lies otherwise aligned than the addresses it is named by: no processor could be atomic there.
  if ((reinterpret_cast<uintptr_t>(memory) & 7) != 0) return refuse(kNakInvalidRequest, AsyncEventType::qpRequestError);
  if (endAnswer_ - firstAnswer_ == kAnswers) return false;  // as if it had been lost
  auto* word = reinterpret_cast<uint64_t*>(memory);
  uint64_t original;
  const bool there = packet.operation() == kCompareSwap
                         ? guardedCompareSwap(word, packet.compare, packet.swapOrAdd, &original)
                         : guardedFetchAdd(word, packet.swapOrAdd, &original);
  if (!there) return refuse(kNakRemoteAccess, AsyncEventType::qpAccessError);
  Answer* answer = push(Answer::Kind::atomic, packet.psn);
  messages_ = psnAdd(messages_, 1);
  answer->msn = messages_;
  answer->original = original;
  atomics_[nextAtomic_++ % kMaxReads] = {packet.psn, original, true};
  expected_ = psnAdd(expected_, 1);
  return true;
}

// IBTA 9.7.5: a duplicate is acknowledged again, a read is done again, of an atomic operation the result is
// told again.
void Responder::duplicate(const Packet& packet) {
  switch (packet.operation()) {
    case kReadRequest: {
      const bool allowed =
          allows(kAccessRemoteRead) && packet.length <= 1u << 31 &&
          packetsOf(packet.length, qp_.attributes.pathMtu) <= static_cast<uint32_t>(psnDistance(packet.psn, expected_));
      if (!allowed) return;
      Answer* answer = push(Answer::Kind::read, packet.psn);
      if (answer == nullptr) return;
      answer->repeated = true;
      answer->address = packet.address;
      answer->rkey = packet.rkey;
      answer->length = packet.length;
      return;
    }
    case kCompareSwap:
    case kFetchAdd:
      for (const AtomicResult& result : atomics_) {
        if (!result.valid || result.psn != packet.psn) continue;
        Answer* answer = push(Answer::Kind::atomic, packet.psn);
        if (answer == nullptr) return;
        answer->repeated = true;
        answer->original = result.original;
        return;
      }
      return;
    default: acknowledge(psnAdd(expected_, kPsnMask));  // the one before: everything up to it has arrived
  }
}

bool Responder::refuse(NakCode code, AsyncEventType event) {
  if (!reliable_) return false;
  die(code);
  engine_.raise(event, qp_);
  return false;
}

// A write to where it may not. With the immediate the packet has a receive WQE, which says so; without, an event does.
bool Responder::refuseWrite(bool immediate) {
  if (!reliable_ || !immediate || !takeReceive()) return refuse(kNakRemoteAccess, AsyncEventType::qpAccessError);
  return refuseReceive(kNakRemoteAccess, MLX5_CQE_SYNDROME_LOCAL_ACCESS_ERR, VendorSyndrome::localProtection);
}

bool Responder::refuseReceive(NakCode code, uint8_t receiveSyndrome, VendorSyndrome vendor) {
  if (reliable_) negative(Aeth::kNak | code, expected_);
  return failReceive(receiveSyndrome, vendor);
}

bool Responder::failReceive(uint8_t receiveSyndrome, VendorSyndrome vendor) {
  holdsWqe_ = false;
  dying_ = true;
  engine_.completeReceiveError(qp_, wqe_.index, receiveSyndrome, vendor);
  engine_.toError(qp_);
  return false;
}

void Responder::die(NakCode code) {
  dying_ = true;
  if (reliable_) negative(Aeth::kNak | code, expected_);
  engine_.toError(qp_);
}

bool Responder::notReady() {
  if (qp_.receiveQueue().lost()) {  // it never will be: the engine raises the event
    die(kNakRemoteOperation);
    return false;
  }
  if (!reliable_) return false;
  negative(static_cast<uint8_t>(Aeth::kRnrNak | (qp_.attributes.minRnrTimer & 31)), expected_);
  refused_ = true;
  return false;
}

}  // namespace roce
}  // namespace soft

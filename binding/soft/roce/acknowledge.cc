// What an RC requester gets back: acknowledgements, NAKs, responses, and timeouts (IBTA 9.7.5, 9.7.6).
#include <algorithm>
#include <cstring>

#include "roce/psn.h"
#include "roce/requester.h"
#include "roce/timers.h"

namespace soft {
namespace roce {

void Requester::receive(const Packet& packet) {
  if (qp_.state != QueuePairState::rts && qp_.state != QueuePairState::sqd) return;
  // A PSN before the oldest outstanding one or behind the newest is a ghost of something settled, or invalid.
  const int32_t ahead = psnDistance(oldestPsn_, packet.psn);
  if (ahead < 0 || ahead >= psnDistance(oldestPsn_, sentEnd_)) return;
  switch (packet.operation()) {
    case kAcknowledge: acknowledgement(packet); break;
    case kAtomicAcknowledge: atomicResponse(packet); break;
    default: readResponse(packet);
  }
  settle();
}

void Requester::acknowledgement(const Packet& packet) {
  const uint8_t kind = packet.syndrome & Aeth::kKindMask;
  const uint8_t value = packet.syndrome & 0x1f;
  if (kind == Aeth::kAck) {
    acknowledgeBefore(psnAdd(packet.psn, 1));
    return;
  }
  // A NAK of one packet says that those before it arrived.
  if (!acknowledgeBefore(packet.psn) || empty()) return;
  if (kind == Aeth::kRnrNak) {
    if (qp_.attributes.rnrRetry != kRnrRetryForever && rnrRetries_++ >= qp_.attributes.rnrRetry) {
      failOldest(MLX5_CQE_SYNDROME_RNR_RETRY_EXC_ERR, VendorSyndrome::rnrRetryExceeded);
      return;
    }
    goBack(packet.psn);
    ackDeadline_ = kNever;
    rnrUntil_ = engine_.now() + rnrDelay(value);
    return;
  }
  if (kind != Aeth::kNak) return;  // reserved
  switch (value) {
    case kNakSequence: retry(packet.psn); return;
    case kNakInvalidRequest:
      failOldest(MLX5_CQE_SYNDROME_REMOTE_INVAL_REQ_ERR, VendorSyndrome::remoteInvalidRequest);
      return;
    case kNakRemoteAccess: failOldest(MLX5_CQE_SYNDROME_REMOTE_ACCESS_ERR, VendorSyndrome::remoteAccess); return;
    case kNakRemoteOperation: failOldest(MLX5_CQE_SYNDROME_REMOTE_OP_ERR, VendorSyndrome::remoteOperation); return;
    default: return;  // reserved
  }
}

bool Requester::acknowledgeBefore(uint32_t psn) {
  while (psnDistance(oldestPsn_, psn) > 0) {
    settle();  // so that at(oldest_) is what oldestPsn_ belongs to
    if (empty() || at(oldest_).syndrome != 0) return false;
    const Outstanding& entry = at(oldest_);
    if (entry.waitsForData) {
      responseLost();
      return false;
    }
    const uint32_t entryEnd = psnAdd(entry.firstPsn, entry.packets);
    oldestPsn_ = psnDistance(entryEnd, psn) > 0 ? entryEnd : psn;
    // A packet that was to be sent again need not be.
    if (oldest_ == cursor_) {
      if (oldestPsn_ == entryEnd) {
        ++cursor_;
        cursorPacket_ = 0;
      } else {
        cursorPacket_ = std::max(cursorPacket_, static_cast<uint32_t>(psnDistance(entry.firstPsn, oldestPsn_)));
      }
    }
    progress();
  }
  settle();
  return true;
}

void Requester::readResponse(const Packet& packet) {
  if (!acknowledgeBefore(packet.psn)) {
    // Of the read itself, an earlier packet is missing: acknowledgeBefore() has asked again.
    return;
  }
  if (empty()) return;
  Outstanding& entry = at(oldest_);
  if (!entry.waitsForData || entry.opcode != MLX5_OPCODE_RDMA_READ) return;
  const uint32_t mtu = qp_.attributes.pathMtu;
  const uint32_t number = static_cast<uint32_t>(psnDistance(entry.firstPsn, packet.psn));
  if (number >= entry.packets) return;
  const uint32_t offset = number * mtu;
  if (packet.payloadLength != std::min(mtu, entry.length - offset)) {
    failOldest(MLX5_CQE_SYNDROME_BAD_RESP_ERR, VendorSyndrome::none);
    return;
  }
  SendWqe wqe;
  if (!qp_.fetch(&wqe, entry.index)) return;
  const Request request(wqe);
  if (request.kind != RequestKind::read) {
    failOldest(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);
    return;
  }
  ReceiveWqe list;
  list.list = wqe.bytes + request.data;
  list.maxSegments = (wqe.size() - request.data) / SendWqe::kSegment;
  if (place(entry, list, offset, packet.payload, packet.payloadLength) != ScatterResult::ok) {
    failOldest(MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
    return;
  }
  responseDone(entry, number + 1);
}

void Requester::atomicResponse(const Packet& packet) {
  if (!acknowledgeBefore(packet.psn) || empty()) return;
  Outstanding& entry = at(oldest_);
  if (entry.opcode != MLX5_OPCODE_ATOMIC_CS && entry.opcode != MLX5_OPCODE_ATOMIC_FA) return;
  if (entry.firstPsn != packet.psn) return;
  SendWqe wqe;
  if (!qp_.fetch(&wqe, entry.index)) return;
  const Request request(wqe);
  if (request.kind != RequestKind::atomic) {
    failOldest(MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);
    return;
  }
  ReceiveWqe list;
  list.list = wqe.bytes + request.data;
  list.maxSegments = (wqe.size() - request.data) / SendWqe::kSegment;
  // In the host's byte order, as a ConnectX hands it over (kernel: atomic_requestor_endianness).
  uint8_t bytes[8];
  std::memcpy(bytes, &packet.original, sizeof bytes);
  if (place(entry, list, 0, bytes, sizeof bytes) != ScatterResult::ok) {
    failOldest(MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
    return;
  }
  responseDone(entry, 1);
}

ScatterResult Requester::place(const Outstanding& entry, const ReceiveWqe& list, uint64_t offset, const uint8_t* data,
                               uint32_t length) {
  const bool inlined = qp_.scatterRequests && entry.signaled && entry.length != 0 && entry.packets == 1 &&
                       entry.length <= qp_.sendCq->inlineRoom();
  if (!inlined) return list.scatter(engine_.memory(), qp_.pd, offset, data, length);
  std::memcpy(response_, data, length);
  hasResponse_ = true;
  return list.check(engine_.memory(), qp_.pd, length);
}

void Requester::responseDone(Outstanding& entry, uint32_t packets) {
  oldestPsn_ = psnAdd(entry.firstPsn, packets);
  const bool whole = packets == entry.packets;
  if (oldest_ == cursor_) {  // it was to be asked for again
    cursorPacket_ = packets;
    if (whole) {
      ++cursor_;
      cursorPacket_ = 0;
    }
  }
  if (whole) --reads_;
  progress();
}

void Requester::progress() {
  retries_ = rnrRetries_ = 0;
  repeated_ = false;
  const bool waiting = oldestPsn_ != sentEnd_ && qp_.attributes.timeout != 0;
  ackDeadline_ = waiting ? engine_.now() + ackTimeout(qp_.attributes.timeout) : kNever;
}

void Requester::responseLost() {
  if (repeated_) return;  // one repetition; when that is lost too, the timeout follows
  goBack(oldestPsn_);
  repeated_ = true;
}

void Requester::retry(uint32_t psn) {
  if (retries_++ >= qp_.attributes.retryCount) {
    failOldest(MLX5_CQE_SYNDROME_TRANSPORT_RETRY_EXC_ERR, VendorSyndrome::retryExceeded);
    return;
  }
  repeated_ = false;
  goBack(psn);
  ackDeadline_ = qp_.attributes.timeout != 0 ? engine_.now() + ackTimeout(qp_.attributes.timeout) : kNever;
}

void Requester::goBack(uint32_t psn) {
  for (uint32_t position = oldest_; position != end_; ++position) {
    const Outstanding& entry = at(position);
    if (entry.packets == 0) continue;
    const int32_t into = psnDistance(entry.firstPsn, psn);
    if (into >= static_cast<int32_t>(entry.packets)) continue;
    cursor_ = position;
    cursorPacket_ = into < 0 ? 0 : static_cast<uint32_t>(into);
    return;
  }
}

}  // namespace roce
}  // namespace soft

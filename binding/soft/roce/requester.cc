#include "roce/requester.h"

#include <algorithm>
#include <cstring>

#include "roce/psn.h"
#include "roce/timers.h"

namespace soft {
namespace roce {

namespace {

constexpr uint32_t kBatch = 64;        // packets that one queue pair sends before the next one's turn
constexpr uint32_t kWindow = 512;      // packets on their way unacknowledged: what a loss can cost
constexpr uint32_t kAckInterval = 32;  // long messages ask for an acknowledgement this often, so that the window moves
constexpr uint32_t kMaxMessage = 1u << 30;  // max_msg_sz

uint8_t sendOperation(const Request& request, bool first, bool last) {
  if (!last) return first ? kSendFirst : kSendMiddle;
  if (request.invalidates) return first ? kSendOnlyInvalidate : kSendLastInvalidate;
  if (request.hasImmediate) return first ? kSendOnlyImmediate : kSendLastImmediate;
  return first ? kSendOnly : kSendLast;
}

uint8_t writeOperation(const Request& request, bool first, bool last) {
  if (!last) return first ? kWriteFirst : kWriteMiddle;
  if (request.hasImmediate) return first ? kWriteOnlyImmediate : kWriteLastImmediate;
  return first ? kWriteOnly : kWriteLast;
}

// How much a read's scatter list takes: its length, for a read asks for as much as it has room for.
ReceiveWqe scatterList(const SendWqe& wqe, uint32_t data) {
  ReceiveWqe list;
  list.list = wqe.bytes + data;
  list.maxSegments = (wqe.size() - data) / SendWqe::kSegment;
  return list;
}

}  // namespace

Requester::Requester(Engine& engine, QueuePair& qp, bool reliable)
    : engine_(engine), qp_(qp), reliable_(reliable), mask_(qp.sq.count == 0 ? 0 : qp.sq.count - 1) {
  outstanding_.reset(new Outstanding[mask_ + 1]);
}

void Requester::reset() {
  oldest_ = cursor_ = end_ = 0;
  cursorPacket_ = 0;
  nextPsn_ = oldestPsn_ = sentEnd_ = 0;
  reads_ = 0;
  ackDeadline_ = kNever;
  rnrUntil_ = 0;
  retries_ = rnrRetries_ = 0;
  repeated_ = notifyDrained_ = hasResponse_ = false;
}

void Requester::abandon() {
  if (!empty()) qp_.sendHead = at(oldest_).index;
  oldest_ = cursor_ = end_;
  cursorPacket_ = 0;
  oldestPsn_ = sentEnd_ = nextPsn_;
  reads_ = 0;
  ackDeadline_ = kNever;
  rnrUntil_ = 0;
  notifyDrained_ = hasResponse_ = false;
}

uint64_t Requester::deadline() const { return rnrUntil_ != 0 ? rnrUntil_ : ackDeadline_; }

bool Requester::transmit(const Path& path) {
  if (qp_.state != QueuePairState::rts && qp_.state != QueuePairState::sqd) return false;
  const uint64_t now = engine_.now();
  const uint32_t completed = oldest_;
  bool worked = false;
  if (rnrUntil_ != 0) {
    if (now < rnrUntil_) return false;
    rnrUntil_ = 0;
    worked = true;
  } else if (now >= ackDeadline_) {
    retry(oldestPsn_);
    worked = true;
  }
  uint32_t budget = kBatch;
  while (budget != 0 && (qp_.state == QueuePairState::rts || qp_.state == QueuePairState::sqd)) {
    if (cursor_ == end_ && !admit()) break;
    const uint32_t before = budget;
    const Progress result = sendCurrent(path, &budget);
    worked = worked || budget != before || result == Progress::finished;
    if (result == Progress::stalled) break;
  }
  settle();
  if (notifyDrained_ && qp_.state == QueuePairState::sqd && empty()) {
    notifyDrained_ = false;
    engine_.raise(AsyncEventType::sendQueueDrained, qp_);
  }
  return worked || oldest_ != completed;
}

bool Requester::admit() {
  if (qp_.state != QueuePairState::rts) return false;  // SQD: what was begun is finished, nothing else
  const uint16_t backlog = qp_.sendBacklog();
  if (backlog == 0) return false;
  SendWqe wqe;
  if (!qp_.fetch(&wqe, qp_.sendHead)) return false;
  const Request request(wqe);
  if (wqe.fenced() && reads_ != 0) return false;
  if (request.waitsForData() && reads_ != 0 && reads_ >= qp_.attributes.maxReadAtomic) return false;

  Outstanding entry{};
  entry.index = wqe.index;
  entry.opcode = request.opcode;
  entry.signaled = wqe.signaled();
  entry.firstPsn = nextPsn_;
  uint64_t length = 0;
  const bool fits = wqe.blocks <= backlog && wqe.blocks <= qp_.sq.count;
  if (!fits || request.kind == RequestKind::unknown || (!reliable_ && request.waitsForData()) ||
      (request.waitsForData() && qp_.attributes.maxReadAtomic == 0)) {
    refuse(entry, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);
  } else if (request.kind == RequestKind::local) {
    admitLocal(wqe, entry);
  } else if (request.waitsForData() && scatterList(wqe, request.data).isInline()) {
    refuse(entry, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);  // a response has to go somewhere
  } else if (request.kind == RequestKind::read) {
    length = scatterList(wqe, request.data).capacity();
  } else if (request.kind == RequestKind::atomic) {
    length = 8;
    if (scatterList(wqe, request.data).capacity() < 8) {
      refuse(entry, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);
    }
  } else {
    GatherList list;
    const SendResult gathered = engine_.gather(qp_, wqe, request.data, &list);
    if (gathered.kind == SendResult::Kind::failed) refuse(entry, gathered.syndrome, gathered.vendor);
    length = list.total;
  }
  if (length > kMaxMessage) refuse(entry, MLX5_CQE_SYNDROME_LOCAL_LENGTH_ERR, VendorSyndrome::localLength);

  if (entry.syndrome == 0 && request.kind != RequestKind::local) {
    entry.length = static_cast<uint32_t>(length);
    entry.packets = request.kind == RequestKind::atomic ? 1 : packetsOf(length, qp_.attributes.pathMtu);
    // Old and new must stay apart: at most half the numbers are outstanding.
    if (windowUsed(nextPsn_) + entry.packets >= kPsnHalf) return false;
    entry.waitsForData = request.waitsForData();
    if (entry.waitsForData) ++reads_;
    nextPsn_ = psnAdd(nextPsn_, entry.packets);
  }
  at(end_++) = entry;
  cursorPacket_ = 0;
  qp_.sendHead = static_cast<uint16_t>(qp_.sendHead + (fits ? wqe.blocks : backlog));
  return true;
}

void Requester::admitLocal(const SendWqe& wqe, Outstanding& entry) {
  if (wqe.opcode() == MLX5_OPCODE_NOP) return;
  const SendResult result = engine_.configureKey(qp_, wqe);
  if (result.kind == SendResult::Kind::failed) refuse(entry, result.syndrome, result.vendor);
}

Requester::Progress Requester::sendCurrent(const Path& path, uint32_t* budget) {
  Outstanding& entry = at(cursor_);
  if (entry.syndrome != 0) return Progress::stalled;  // nothing behind a failure is sent
  if (entry.packets != 0) {
    SendWqe wqe;
    if (!qp_.fetch(&wqe, entry.index)) return Progress::stalled;
    const Request request(wqe);
    if (request.opcode != entry.opcode || request.kind == RequestKind::unknown) {  // the ring was written over
      refuse(entry, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);
      return Progress::stalled;
    }
    if (request.waitsForData()) {
      if (!sendDataless(path, request, entry)) return Progress::stalled;
      --*budget;
    } else {
      GatherList list;
      const SendResult gathered = engine_.gather(qp_, wqe, request.data, &list);
      if (gathered.kind == SendResult::Kind::failed) {
        refuse(entry, gathered.syndrome, gathered.vendor);
        return Progress::stalled;
      }
      if (list.total != entry.length) {
        refuse(entry, MLX5_CQE_SYNDROME_LOCAL_QP_OP_ERR, VendorSyndrome::badWqe);
        return Progress::stalled;
      }
      while (cursorPacket_ != entry.packets) {
        if (*budget == 0) return Progress::sent;
        const uint32_t psn = psnAdd(entry.firstPsn, cursorPacket_);
        if (reliable_ && windowUsed(psn) >= kWindow) return Progress::stalled;
        if (!sendData(path, request, wqe, list, entry)) return Progress::stalled;
        ++cursorPacket_;
        --*budget;
      }
    }
  }
  ++cursor_;
  cursorPacket_ = 0;
  return Progress::finished;
}

// One packet of a send or a write.
bool Requester::sendData(const Path& path, const Request& request, const SendWqe& wqe, const GatherList& list,
                         const Outstanding& entry) {
  const uint32_t mtu = qp_.attributes.pathMtu;
  const uint32_t offset = cursorPacket_ * mtu;
  const uint32_t bytes = std::min(mtu, entry.length - offset);
  const bool first = cursorPacket_ == 0, last = cursorPacket_ + 1 == entry.packets;
  const bool write = request.kind == RequestKind::write;
  const bool immediate = last && (request.hasImmediate || request.invalidates);
  const size_t length = Bth::kSize + (write && first ? Reth::kSize : 0) + (immediate ? kImmediateSize : 0) + bytes;

  PacketWriter packet;
  if (!packet.open(engine_, *qp_.port, path, length)) return false;
  const uint32_t psn = psnAdd(entry.firstPsn, cursorPacket_);
  const uint8_t operation = write ? writeOperation(request, first, last) : sendOperation(request, first, last);
  const bool solicited = last && wqe.solicited() && (!write || request.hasImmediate);
  uint8_t* to = packet.bth();
  Bth::write(to, (reliable_ ? kServiceRc : kServiceUc) | operation, solicited, packet.pad(),
             qp_.attributes.destinationQpn, reliable_ && (last || (psn & (kAckInterval - 1)) == 0), psn);
  to += Bth::kSize;
  if (write && first) {
    Reth::write(to, request.remoteAddress, request.rkey, entry.length);
    to += Reth::kSize;
  }
  if (immediate) {
    std::memcpy(to, wqe.immediate(), kImmediateSize);
    to += kImmediateSize;
  }
  if (!list.copy(to, offset, bytes)) {
    refuse(at(cursor_), MLX5_CQE_SYNDROME_LOCAL_PROT_ERR, VendorSyndrome::localProtection);
    return false;
  }
  packet.commit();
  packetSent(psnAdd(psn, 1));
  return true;
}

// The request of a read or of an atomic operation. A read whose response was lost half way is asked for the rest.
bool Requester::sendDataless(const Path& path, const Request& request, const Outstanding& entry) {
  const bool read = request.kind == RequestKind::read;
  PacketWriter packet;
  if (!packet.open(engine_, *qp_.port, path, Bth::kSize + (read ? Reth::kSize : AtomicEth::kSize))) return false;
  uint8_t* to = packet.bth();
  const uint8_t operation = read ? kReadRequest : request.opcode == MLX5_OPCODE_ATOMIC_CS ? kCompareSwap : kFetchAdd;
  Bth::write(to, kServiceRc | operation, false, packet.pad(), qp_.attributes.destinationQpn, true,
             psnAdd(entry.firstPsn, cursorPacket_));
  to += Bth::kSize;
  if (read) {
    const uint32_t offset = cursorPacket_ * qp_.attributes.pathMtu;
    Reth::write(to, request.remoteAddress + offset, request.rkey, entry.length - offset);
  } else {
    AtomicEth::write(to, request.remoteAddress, request.rkey, request.swapOrAdd, request.compare);
  }
  packet.commit();
  packetSent(psnAdd(entry.firstPsn, entry.packets));
  return true;
}

void Requester::packetSent(uint32_t psnEnd) {
  if (psnDistance(sentEnd_, psnEnd) > 0) sentEnd_ = psnEnd;
  if (!reliable_) {
    oldestPsn_ = psnEnd;  // nobody will answer: sent is done
  } else if (ackDeadline_ == kNever && qp_.attributes.timeout != 0) {
    ackDeadline_ = engine_.now() + ackTimeout(qp_.attributes.timeout);
  }
}

void Requester::settle() {
  while (!empty()) {
    Outstanding& entry = at(oldest_);
    if (entry.syndrome != 0) {
      failOldest(entry.syndrome, entry.vendor);
      return;
    }
    if (oldest_ == cursor_) return;  // not all of it is sent
    if (entry.packets != 0 && psnDistance(psnAdd(entry.firstPsn, entry.packets), oldestPsn_) < 0) return;
    ++oldest_;  // first: a completion queue that overruns ends in abandon()
    const uint8_t* response = hasResponse_ ? response_ : nullptr;
    hasResponse_ = false;
    if (entry.signaled) {
      engine_.completeSend(qp_, entry.opcode, entry.index, entry.waitsForData ? entry.length : 0, response);
    }
  }
  if (windowUsed(sentEnd_) == 0) ackDeadline_ = kNever;
}

void Requester::refuse(Outstanding& entry, uint8_t syndrome, VendorSyndrome vendor) {
  if (entry.syndrome != 0) return;
  entry.syndrome = syndrome;
  entry.vendor = vendor;
}

void Requester::failOldest(uint8_t syndrome, VendorSyndrome vendor) {
  if (empty()) return;
  const Outstanding entry = at(oldest_++);  // the WQE behind it is the first to be flushed
  if (static_cast<int32_t>(cursor_ - oldest_) < 0) cursor_ = oldest_;
  engine_.completeSendError(qp_, entry.opcode, entry.index, syndrome, vendor);
  if (reliable_) {
    engine_.toError(qp_);
  } else {
    engine_.toSendError(qp_);
  }
}

}  // namespace roce
}  // namespace soft

#include "nic/engine.h"

#include <algorithm>

namespace soft {

Engine::Engine(const NicAttributes& attributes, Events& events)
    : events_(events),
      attributes_(attributes),
      pds_(1),
      cqs_(1),
      srqs_(1),
      qps_(0x40),  // 0 and 1 are InfiniBand's own; a ConnectX hands out none of the lowest either
      wqs_(0x40),
      indirections_(1),
      flows_(1) {
  for (const PortAttributes& port : attributes.ports) {
    ports_.push_back(std::make_unique<Port>());
    ports_.back()->number = static_cast<uint8_t>(ports_.size());
    ports_.back()->attributes = port;
  }
}

Engine::~Engine() = default;

bool Engine::step(uint64_t now) {
  now_ = now;
  lookAtRegisters();
  expireTimers();
  bool busy = stepActive();
  busy |= flushLate();
  writeCompletions();  // a wire may take its time
  if (!failed_) {
    for (const std::unique_ptr<Port>& port : ports_) {
      if (port->wire == nullptr) continue;
      busy |= port->wire->step(now);
      port->readMtu();
      if (const bool carrier = port->wire->up(); carrier != port->carrier) {
        port->carrier = carrier;
        if (port->linkUp) {
          events_.asynchronous(
              {carrier ? AsyncEventType::portActive : AsyncEventType::portError, port->number, nullptr});
        }
      }
    }
    for (const std::unique_ptr<Port>& port : ports_) {
      busy |= drain(*port, port->end.receive);
      busy |= drain(*port, &port->loopback);
    }
    writeCompletions();
    answer();
  }
  busy |= walk(busy);
  raiseCompletions();
  if (!violations_.empty()) tellViolations();
  return busy;
}

FrameQueue* Engine::outgoing(Port& port, const uint8_t* destinationMac) {
  if (!port.ready()) return nullptr;
  const bool own = std::memcmp(destinationMac, port.attributes.mac.data(), 6) == 0;
  return own && !port.wire->loops() ? &port.loopback : port.end.transmit;
}

bool Engine::stepQueuePair(QueuePair& qp) {
  bool busy = false;
  if (qp.transport != nullptr && qp.state != QueuePairState::reset && !failed_) busy = qp.transport->transmit();
  switch (qp.state) {
    case QueuePairState::rts: return qp.type == QueuePairType::rawPacket ? transmitFrames(qp) : busy;
    case QueuePairState::sqe: return flushSends(qp) || busy;
    case QueuePairState::err: return flush(qp) || busy;
    default: return busy;
  }
}

void Engine::completionLost(CompletionQueue& cq, QueuePair* qp) {
  if (cq.takeError()) events_.asynchronous({AsyncEventType::cqError, cq.number, cq.cookie});
  if (qp != nullptr && qp->state != QueuePairState::err) {
    toError(*qp);
    raise(AsyncEventType::qpFatal, *qp);
  }
}

void Engine::completeSend(QueuePair& qp, uint8_t wqeOpcode, uint16_t index, uint32_t byteCount,
                          const uint8_t* response) {
  Cqe cqe = Cqe::request(wqeOpcode, qp.userIndex, qp.number, index);
  cqe.setByteCount(byteCount);
  if (response != nullptr) cqe.setInline(response, byteCount, qp.sendCq->inlineRoom());
  complete(qp.sendCq, cqe, &qp);
}

void Engine::completeSendError(QueuePair& qp, uint8_t wqeOpcode, uint16_t index, uint8_t syndrome,
                               VendorSyndrome vendor) {
  Cqe cqe = Cqe::error(MLX5_CQE_REQ_ERR, syndrome, vendor, wqeOpcode, qp.userIndex, qp.number, index);
  complete(qp.sendCq, cqe, &qp);
}

void Engine::completeReceiveError(QueuePair& qp, uint16_t index, uint8_t syndrome, VendorSyndrome vendor) {
  Cqe cqe = Cqe::error(MLX5_CQE_RESP_ERR, syndrome, vendor, 0, qp.userIndex, qp.number, index);
  complete(qp.receiver.cq, cqe, &qp);
}

bool Engine::takeReceive(QueuePair& qp, ReceiveWqe* wqe) {
  if (qp.srq == nullptr) return qp.receiver.queue.take(wqe);
  if (!qp.srq->queue.take(wqe)) return false;
  if (qp.srq->limit != 0 && qp.srq->queue.posted() < qp.srq->limit) {
    qp.srq->limit = 0;  // ibv_modify_srq(3): once armed, one event
    events_.asynchronous({AsyncEventType::srqLimitReached, qp.srq->number, qp.srq->cookie});
  }
  return true;
}

void Engine::toSendError(QueuePair& qp) {
  if (qp.state != QueuePairState::rts && qp.state != QueuePairState::sqd) return;
  if (qp.transport != nullptr) qp.transport->abandon(false);
  qp.state = QueuePairState::sqe;
  activate(qp);
}

void Engine::toError(QueuePair& qp) {
  if (qp.state == QueuePairState::err) return;
  if (qp.transport != nullptr) qp.transport->abandon(true);
  qp.state = QueuePairState::err;
  qp.receiver.open = false;
  if (qp.srq == nullptr) flushFromNowOn(qp.receiver);
  activate(qp);
}

bool Engine::flushSends(QueuePair& qp) {
  uint16_t backlog = qp.sendBacklog();
  if (backlog == 0) return false;
  while (backlog != 0) {
    if (!qp.fetch(&wqe_, qp.sendHead)) return true;
    Cqe cqe = Cqe::error(MLX5_CQE_REQ_ERR, MLX5_CQE_SYNDROME_WR_FLUSH_ERR, VendorSyndrome::flushed, wqe_.opcode(),
                         qp.userIndex, qp.number, qp.sendHead);
    const uint16_t blocks = static_cast<uint16_t>(std::min<uint32_t>(wqe_.blocks, backlog));
    qp.sendHead += blocks;
    backlog -= blocks;
    complete(qp.sendCq, cqe, &qp);
  }
  return true;
}

bool Engine::flush(QueuePair& qp) {
  bool busy = flushSends(qp);
  if (qp.srq != nullptr) {
    // The WQEs are the SRQ's: nothing to flush, but its owner may want to know (InfiniBand 11.6.3).
    if (!qp.lastWqeReported) {
      qp.lastWqeReported = true;
      raise(AsyncEventType::qpLastWqeReached, qp);
    }
    return busy;
  }
  return flushReceives(qp.receiver) || busy;
}

bool Engine::flushReceives(Receiver& receiver) {
  const uint32_t number = receiver.queuePair != nullptr ? receiver.queuePair->number : receiver.workQueue->number;
  ReceiveWqe wqe;
  bool busy = false;
  const auto flush = [&](uint16_t index) {
    Cqe cqe = Cqe::error(MLX5_CQE_RESP_ERR, MLX5_CQE_SYNDROME_WR_FLUSH_ERR, VendorSyndrome::flushed, 0,
                         receiver.userIndex, number, index);
    complete(receiver.cq, cqe, receiver.queuePair);
    busy = true;
  };
  if (receiver.strides.isOpen()) {  // no entry told that all of it is used up
    receiver.strides.close();
    flush(receiver.strides.wqe().index);
  }
  while (receiver.queue.take(&wqe)) flush(wqe.index);
  return busy;
}

void Engine::fail() {
  if (failed_) return;
  failed_ = true;
  for (const auto& port : ports_) port->giveAllBack();
  for (QueuePair* qp : qpList_) {
    if (qp->state != QueuePairState::reset) toError(*qp);
  }
  for (WorkQueue* wq : wqList_) {
    wq->receiver.open = false;
    if (wq->state != WorkQueueState::ready) continue;
    wq->state = WorkQueueState::err;
    flushFromNowOn(wq->receiver);
  }
  events_.asynchronous({AsyncEventType::deviceFatal, 0, nullptr});
}

}  // namespace soft

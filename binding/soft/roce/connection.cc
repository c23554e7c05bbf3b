#include "roce/connection.h"

#include <infiniband/verbs.h>

#include <algorithm>

namespace soft {
namespace roce {

namespace {

bool isResponse(uint8_t operation) { return operation >= kReadResponseFirst && operation <= kAtomicAcknowledge; }

}  // namespace

Connection::Connection(Engine& engine, QueuePair& qp)
    : qp_(qp),
      reliable_(qp.type == QueuePairType::rc),
      requester_(engine, qp, reliable_),
      responder_(engine, qp, reliable_) {}

void Connection::modified(const QueuePairChange& change) {
  if ((change.mask & IBV_QP_STATE) && qp_.state == QueuePairState::reset) {
    requester_.reset();
    responder_.reset();
    return;
  }
  // Agreed on once: a message that is under way was cut up by them.
  const bool toRtr = (change.mask & IBV_QP_STATE) && qp_.state == QueuePairState::rtr;
  const bool toRts = (change.mask & IBV_QP_STATE) && qp_.state == QueuePairState::rts;
  if (toRtr && (change.mask & IBV_QP_PATH_MTU)) {  // IBV_MTU_256 … IBV_MTU_4096
    pathMtu_ = std::clamp<uint32_t>(change.pathMtu, 256, 4096);
  }
  qp_.attributes.pathMtu = pathMtu_;
  if (toRtr && (change.mask & IBV_QP_RQ_PSN)) responder_.start(qp_.attributes.receivePsn);
  if (toRts && (change.mask & IBV_QP_SQ_PSN)) requester_.start(qp_.attributes.sendPsn);
  if ((change.mask & (IBV_QP_AV | IBV_QP_DEST_QPN | IBV_QP_PORT)) && qp_.port != nullptr) {
    const PathAddress& address = qp_.attributes.address;
    path_.set(address, qp_.port->attributes.mac,
              udpSourcePort(address.flowLabel, qp_.number, qp_.attributes.destinationQpn));
  }
  if ((change.mask & IBV_QP_STATE) && qp_.state == QueuePairState::sqd) {
    requester_.drain((change.mask & IBV_QP_EN_SQD_ASYNC_NOTIFY) != 0);
  }
}

bool Connection::transmit() {
  if (qp_.port == nullptr) return false;
  // Answers first: a peer waits for them, and they end.
  const bool answered = responder_.transmit(path_);
  return requester_.transmit(path_) || answered;
}

void Connection::receive(const Packet& packet) {
  if (packet.service() != (reliable_ ? kServiceRc : kServiceUc)) return;
  // IBTA 9.6: from the peer that it is connected to, and nobody else.
  if (packet.sourceGid != qp_.attributes.address.destinationGid) return;
  if (isResponse(packet.operation())) {
    requester_.receive(packet);
  } else {
    responder_.receive(packet);
  }
}

void Connection::abandon(bool receiveToo) {
  requester_.abandon();
  if (receiveToo) responder_.abandon();
}

}  // namespace roce
}  // namespace soft

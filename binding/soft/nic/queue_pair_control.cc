// The control operations of queue pairs: create, modify, query, destroy.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "nic/engine.h"
#include "nic/gid.h"
#include "nic/limits.h"

namespace soft {

namespace {

constexpr uint8_t kMaxReadAtomic = 16;  // max_qp_rd_atom

// InfiniBand 10.3.1, figure 124.
bool mayFollow(QueuePairState from, QueuePairState to) {
  using S = QueuePairState;
  if (to == S::reset || to == S::err) return true;
  switch (from) {
    case S::reset: return to == S::init;
    case S::init: return to == S::init || to == S::rtr;
    case S::rtr: return to == S::rts;
    case S::rts: return to == S::rts || to == S::sqd;
    case S::sqd: return to == S::rts || to == S::sqd;
    case S::sqe: return to == S::rts;
    case S::err: return false;
  }
  return false;
}

}  // namespace

QueuePair* Engine::list(uint32_t qpn, std::unique_ptr<QueuePair> qp) {
  qp->place = qpList_.size();
  qpList_.push_back(qps_.insert(qpn, std::move(qp)));
  return qpList_.back();
}

int Engine::createQueuePair(const QueuePairAttributes& attributes, uint32_t* qpn) {
  const QueuePairType type = attributes.type;
  const bool connectable = type == QueuePairType::rc || type == QueuePairType::uc || type == QueuePairType::ud;
  if (!connectable && type != QueuePairType::rawPacket) return EOPNOTSUPP;
  if (type == QueuePairType::rawPacket && attributes.srq != 0) return EINVAL;
  if (pds_.find(attributes.pd) == nullptr) return EINVAL;
  const SendRing& sq = attributes.sq;
  if (sq.count != 0 &&
      (!powerOfTwo(sq.count) || sq.count > kMaxWqes || sq.buffer == nullptr || sq.doorbell == nullptr)) {
    return EINVAL;
  }
  if (const int error = checkRing(attributes.rq, true)) return error;
  CompletionQueue* sendCq = cqs_.find(attributes.sendCq);
  CompletionQueue* receiveCq = cqs_.find(attributes.receiveCq);
  SharedReceiveQueue* srq = srqs_.find(attributes.srq);
  if (attributes.srq != 0 && srq == nullptr) return EINVAL;
  if (sq.count != 0 && sendCq == nullptr) return EINVAL;
  if ((attributes.rq.count != 0 || srq != nullptr) && receiveCq == nullptr) return EINVAL;
  *qpn = qps_.allocate();
  if (*qpn == 0) return ENOSPC;
  auto qp = std::make_unique<QueuePair>(*qpn, attributes, sendCq, receiveCq, srq);
  if (connectable) {
    qp->transport = roce::makeTransport(*this, *qp);
    if (roceQps_++ == 0) {
      for (const auto& port : ports_) port->takeRoce(events_);
    }
  }
  QueuePair* made = list(*qpn, std::move(qp));
  if (made->target.ownUnicast || made->target.ownGroups) ++selfLoopbacks_;
  if (sq.count != 0) {
    queues_.add(sq.bell, sq.doorbell, &made->watch, attributes_.strict && sq.ownBell);
    if (made->watch.alone) beginRings(*made);
  }
  if (sendCq != nullptr) ++sendCq->users;
  if (receiveCq != nullptr) ++receiveCq->users;
  if (srq != nullptr) ++srq->users;
  return 0;
}

int Engine::createRssQueuePair(const RssQueuePairAttributes& attributes, uint32_t* qpn) {
  IndirectionTable* table = indirections_.find(attributes.indirectionTable);
  if (table == nullptr || pds_.find(attributes.pd) == nullptr) return EINVAL;
  if (attributes.fields != 0 && attributes.key.size() != Toeplitz::kKeyBytes) return EINVAL;
  // mlx5-abi.h: IPv4 and IPv6, TCP and UDP cannot be asked for together on one QP. Inner headers and SPI: not here.
  constexpr uint64_t v4 = MLX5_RX_HASH_SRC_IPV4 | MLX5_RX_HASH_DST_IPV4;
  constexpr uint64_t v6 = MLX5_RX_HASH_SRC_IPV6 | MLX5_RX_HASH_DST_IPV6;
  constexpr uint64_t tcp = MLX5_RX_HASH_SRC_PORT_TCP | MLX5_RX_HASH_DST_PORT_TCP;
  constexpr uint64_t udp = MLX5_RX_HASH_SRC_PORT_UDP | MLX5_RX_HASH_DST_PORT_UDP;
  if ((attributes.fields & ~(v4 | v6 | tcp | udp)) != 0) return EOPNOTSUPP;
  if ((attributes.fields & v4) && (attributes.fields & v6)) return EINVAL;
  if ((attributes.fields & tcp) && (attributes.fields & udp)) return EINVAL;
  *qpn = qps_.allocate();
  if (*qpn == 0) return ENOSPC;
  QueuePairAttributes plain;
  plain.type = QueuePairType::rawPacket;
  plain.pd = attributes.pd;
  plain.transportDomain = attributes.transportDomain;
  plain.ownUnicast = attributes.ownUnicast;
  plain.ownGroups = attributes.ownGroups;
  auto qp = std::make_unique<QueuePair>(*qpn, plain, nullptr, nullptr, nullptr);
  qp->rssOnly = true;
  qp->target.direct = nullptr;
  std::vector<uint8_t> key = attributes.key;
  key.resize(Toeplitz::kKeyBytes);
  qp->target.rss = std::make_unique<Rss>(key.data(), attributes.fields, table);
  ++table->users;
  if (attributes.ownUnicast || attributes.ownGroups) ++selfLoopbacks_;
  list(*qpn, std::move(qp));
  return 0;
}

void Engine::resetQueuePair(QueuePair& qp) {
  qp.state = QueuePairState::reset;
  qp.sendHead = 0;  // libmlx5 clears both doorbell records (mlx5_modify_qp)
  qp.segmented = 0;
  qp.sendLost = qp.fatal = false;
  qp.receiver.queue.reset();
  qp.receiver.open = false;
  qp.lastWqeReported = qp.established = false;
  flushNoMore(qp.receiver);
  if (!qp.watch.alone) return;
  queues_.forgetRings(&qp.watch);
  beginRings(qp);
}

int Engine::modifyQueuePair(uint32_t qpn, const QueuePairChange& change) {
  QueuePair* qp = qps_.find(qpn);
  if (qp == nullptr) return ENOENT;
  if (qp->rssOnly) return EOPNOTSUPP;
  if (failed_ && (!(change.mask & IBV_QP_STATE) || change.state != QueuePairState::err)) return EIO;
  if ((change.mask & IBV_QP_CUR_STATE) && change.currentState != qp->state) return EINVAL;
  if ((change.mask & IBV_QP_STATE) && !mayFollow(qp->state, change.state)) return EINVAL;
  if ((change.mask & IBV_QP_PORT) && port(change.port) == nullptr) return EINVAL;
  if ((change.mask & IBV_QP_MAX_QP_RD_ATOMIC) && change.maxReadAtomic > kMaxReadAtomic) return EINVAL;
  if ((change.mask & IBV_QP_MAX_DEST_RD_ATOMIC) && change.maxDestinationReadAtomic > kMaxReadAtomic) return EINVAL;

  QueuePairChange& now = qp->attributes;
  if (change.mask & IBV_QP_PORT) {
    now.port = change.port;
    qp->port = port(change.port);
  }
  if (change.mask & IBV_QP_ACCESS_FLAGS) now.accessFlags = change.accessFlags;
  if (change.mask & IBV_QP_QKEY) now.qkey = change.qkey;
  if (change.mask & IBV_QP_PATH_MTU) now.pathMtu = change.pathMtu;
  if (change.mask & IBV_QP_DEST_QPN) now.destinationQpn = change.destinationQpn & 0xffffff;
  if (change.mask & IBV_QP_RQ_PSN) now.receivePsn = change.receivePsn & 0xffffff;
  if (change.mask & IBV_QP_SQ_PSN) now.sendPsn = change.sendPsn & 0xffffff;
  if (change.mask & IBV_QP_MAX_QP_RD_ATOMIC) now.maxReadAtomic = change.maxReadAtomic;
  if (change.mask & IBV_QP_MAX_DEST_RD_ATOMIC) now.maxDestinationReadAtomic = change.maxDestinationReadAtomic;
  if (change.mask & IBV_QP_MIN_RNR_TIMER) now.minRnrTimer = change.minRnrTimer & 31;
  if (change.mask & IBV_QP_TIMEOUT) now.timeout = change.timeout & 31;
  if (change.mask & IBV_QP_RETRY_CNT) now.retryCount = change.retryCount & 7;
  if (change.mask & IBV_QP_RNR_RETRY) now.rnrRetry = change.rnrRetry & 7;
  if (change.mask & IBV_QP_AV) now.address = change.address;
  const int error = change.mask & IBV_QP_STATE ? modifyState(*qp, change) : 0;
  if (error == 0 && qp->transport != nullptr) qp->transport->modified(change);
  activate(*qp);
  return error;
}

int Engine::modifyState(QueuePair& qp, const QueuePairChange& change) {
  switch (change.state) {
    case QueuePairState::reset: resetQueuePair(qp); return 0;
    case QueuePairState::err: toError(qp); return 0;
    default: break;
  }
  if (change.state >= QueuePairState::rtr && qp.port == nullptr) return EINVAL;
  qp.state = change.state;
  qp.receiver.open = qp.receives();
  // A raw packet queue has nothing in flight; a transport says so itself once that is true of it.
  const bool drained = change.state == QueuePairState::sqd && qp.transport == nullptr;
  if (drained && (change.mask & IBV_QP_EN_SQD_ASYNC_NOTIFY)) {
    raise(AsyncEventType::sendQueueDrained, qp);
  }
  return 0;
}

int Engine::queryQueuePair(uint32_t qpn, QueuePairStatus* status) {
  const QueuePair* qp = qps_.find(qpn);
  if (qp == nullptr) return ENOENT;
  status->type = qp->type;
  status->state = qp->state;
  status->attributes = qp->attributes;
  status->groups = static_cast<uint32_t>(qp->multicast.size());
  status->attributes.state = status->attributes.currentState = qp->state;
  if (qp->transport != nullptr) {
    status->attributes.sendPsn = qp->transport->sendPsn();
    status->attributes.receivePsn = qp->transport->receivePsn();
  }
  return 0;
}

int Engine::destroyQueuePair(uint32_t qpn) {
  QueuePair* qp = qps_.find(qpn);
  if (qp == nullptr) return ENOENT;
  if (qp->target.rules != 0) return EBUSY;
  if (qp->sendCq != nullptr) --qp->sendCq->users;
  if (qp->receiver.cq != nullptr) --qp->receiver.cq->users;
  if (qp->srq != nullptr) --qp->srq->users;
  if (qp->target.rss != nullptr) --qp->target.rss->table->users;
  if (qp->transport != nullptr && --roceQps_ == 0) {
    for (const auto& port : ports_) port->giveRoceBack();
  }
  if (qp->target.ownUnicast || qp->target.ownGroups) --selfLoopbacks_;
  forget(*qp);
  qps_.remove(qpn);
  return 0;
}

int Engine::attachMulticast(uint32_t qpn, const Gid& gid, bool attach) {
  QueuePair* qp = qps_.find(qpn);
  if (qp == nullptr) return ENOENT;
  const auto at = std::find(qp->multicast.begin(), qp->multicast.end(), gid);
  if (attach) {
    if (qp->type != QueuePairType::ud || !isGroup(gid)) return EINVAL;
    if (at != qp->multicast.end()) return 0;
    std::set<Gid> groups{gid};
    uint32_t members = 0;
    for (const QueuePair* other : qpList_) {
      groups.insert(other->multicast.begin(), other->multicast.end());
      members += static_cast<uint32_t>(std::count(other->multicast.begin(), other->multicast.end(), gid));
    }
    if (groups.size() > kMaxGroups || members >= kMaxGroupMembers) return ENOMEM;
    qp->multicast.push_back(gid);
    return 0;
  }
  if (at == qp->multicast.end()) return EINVAL;
  qp->multicast.erase(at);
  return 0;
}

}  // namespace soft

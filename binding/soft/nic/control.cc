// The control operations: what firmware commands do on the card. Those of queue pairs are in queue_pair_control.cc.
#include <algorithm>
#include <cerrno>

#include "nic/engine.h"
#include "nic/limits.h"

namespace soft {

namespace {

constexpr uint32_t kMaxCqes = 1u << 22;         // the consumer index has 24 bits
constexpr uint32_t kMaxIndirection = 1u << 11;  // max_rwq_indirection_table_size

}  // namespace

Port* Engine::port(uint8_t number) {
  return number >= 1 && number <= ports_.size() ? ports_[number - 1].get() : nullptr;
}

int Engine::connect(uint8_t number, std::shared_ptr<Wire> wire, int end) {
  Port* port = this->port(number);
  if (port == nullptr || wire == nullptr || end < 0 || end > 1) return EINVAL;
  const WireEnd plugged = wire->end(end);
  if (plugged.transmit == nullptr) return EINVAL;
  port->unplug();
  port->wireEnd = end;
  port->end = plugged;
  port->wire = std::move(wire);
  port->carrier = port->wire->up();
  port->readMtu();
  return 0;
}

int Engine::setGid(uint8_t number, uint32_t index, const Gid& gid) {
  Port* port = this->port(number);
  if (port == nullptr) return EINVAL;
  port->giveRoceBack();
  port->gids[index] = gid;
  if (roceQps_ != 0) port->takeRoce(events_);
  return 0;
}

int Engine::setLink(uint8_t number, bool up) {
  Port* port = this->port(number);
  if (port == nullptr) return EINVAL;
  if (port->linkUp == up) return 0;
  port->linkUp = up;
  events_.asynchronous({up ? AsyncEventType::portActive : AsyncEventType::portError, number, nullptr});
  return 0;
}

std::vector<int> Engine::descriptors() const {
  std::vector<int> list;
  for (const std::unique_ptr<Port>& port : ports_) {
    if (port->wire != nullptr) port->wire->descriptors(&list);
  }
  return list;
}

bool Engine::leavesProcess() const {
  return std::any_of(ports_.begin(), ports_.end(),
                     [](const auto& port) { return port->wire != nullptr && port->wire->leavesProcess(); });
}

void Engine::allocateTransportDomain(uint32_t* number) {
  ++transportDomains_;
  *number = ++lastTransportDomain_;
}

int Engine::allocateProtectionDomain(uint32_t* pdn) {
  *pdn = pds_.allocate();
  if (*pdn == 0) return ENOSPC;
  pds_.insert(*pdn, std::make_unique<uint32_t>(0));
  return 0;
}

int Engine::freeProtectionDomain(uint32_t pdn) {
  const uint32_t* queues = pds_.find(pdn);
  if (queues == nullptr) return ENOENT;
  if (*queues != 0 || memory_.uses(pdn)) return EBUSY;
  for (const QueuePair* qp : qpList_) {
    if (qp->pd == pdn) return EBUSY;
  }
  for (const WorkQueue* wq : wqList_) {
    if (wq->receiver.pd == pdn) return EBUSY;
  }
  pds_.remove(pdn);
  return 0;
}

int Engine::createMemoryRegion(const MemoryRegionAttributes& attributes, uint32_t* mkey) {
  return pds_.find(attributes.pd) == nullptr ? EINVAL : memory_.create(attributes, mkey);
}

int Engine::changeMemoryRegion(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey) {
  return pds_.find(attributes.pd) == nullptr ? EINVAL : memory_.change(mkey, attributes, newMkey);
}

int Engine::createMemoryWindow(uint32_t pd, WindowType type, uint32_t* rkey) {
  return pds_.find(pd) == nullptr ? EINVAL : memory_.createWindow(pd, type, rkey);
}

int Engine::createCompletionQueue(const CompletionQueueAttributes& attributes, uint32_t* cqn) {
  if (attributes.buffer == nullptr || attributes.doorbell == nullptr) return EINVAL;
  if (!powerOfTwo(attributes.entries) || attributes.entries > kMaxCqes) return EINVAL;
  if (attributes.cqeSize != 64 && attributes.cqeSize != 128) return EINVAL;
  *cqn = cqs_.allocate();
  if (*cqn == 0) return ENOSPC;
  CompletionQueue* cq = cqs_.insert(*cqn, std::make_unique<CompletionQueue>(*cqn, attributes));
  arms_.add(attributes.bell, cq->armRecord(), &cq->watch, attributes_.strict);
  return 0;
}

int Engine::resizeCompletionQueue(uint32_t cqn, void* buffer, uint32_t entries, uint32_t cqeSize) {
  CompletionQueue* cq = cqs_.find(cqn);
  if (cq == nullptr) return ENOENT;
  if (buffer == nullptr || !powerOfTwo(entries) || entries > kMaxCqes) return EINVAL;
  if (cqeSize != 64 && cqeSize != 128) return EINVAL;
  touch(*cq);
  return cq->resize(buffer, entries, cqeSize, now_);
}

int Engine::moderateCompletionQueue(uint32_t cqn, uint16_t count, uint16_t period) {
  CompletionQueue* cq = cqs_.find(cqn);
  if (cq == nullptr) return ENOENT;
  touch(*cq);
  cq->moderate(count, period);
  return 0;
}

int Engine::destroyCompletionQueue(uint32_t cqn) {
  CompletionQueue* cq = cqs_.find(cqn);
  if (cq == nullptr) return ENOENT;
  if (cq->users != 0) return EBUSY;
  arms_.remove(&cq->watch);
  if (cq->touched) erase(touched_, cq);
  cqs_.remove(cqn);
  return 0;
}

int Engine::checkRing(const ReceiveRing& ring, bool optional) const {
  if (ring.count == 0) return optional ? 0 : EINVAL;
  if (!powerOfTwo(ring.count) || ring.count > kMaxWqes) return EINVAL;
  if (ring.strideShift < 4 || ring.strideShift > 12) return EINVAL;
  return ring.buffer == nullptr || ring.doorbell == nullptr ? EINVAL : 0;
}

int Engine::createSharedReceiveQueue(const SharedReceiveQueueAttributes& attributes, uint32_t* srqn) {
  if (pds_.find(attributes.pd) == nullptr || attributes.ring.strideShift < 5) return EINVAL;
  if (const int error = checkRing(attributes.ring, false)) return error;
  *srqn = srqs_.allocate();
  if (*srqn == 0) return ENOSPC;
  srqs_.insert(*srqn, std::make_unique<SharedReceiveQueue>(*srqn, attributes));
  ++*pds_.find(attributes.pd);
  return 0;
}

int Engine::destroySharedReceiveQueue(uint32_t srqn) {
  const SharedReceiveQueue* srq = srqs_.find(srqn);
  if (srq == nullptr) return ENOENT;
  if (srq->users != 0) return EBUSY;
  --*pds_.find(srq->pd);
  srqs_.remove(srqn);
  return 0;
}

int Engine::createWorkQueue(const WorkQueueAttributes& attributes, uint32_t* wqn) {
  CompletionQueue* cq = cqs_.find(attributes.cq);
  if (cq == nullptr || pds_.find(attributes.pd) == nullptr) return EINVAL;
  if (const int error = checkRing(attributes.ring, false)) return error;
  const Striding& striding = attributes.striding;
  if (striding.logStrideBytes != 0) {
    if (!validStrides(striding.logStrideBytes, striding.logStrides)) return EINVAL;
    // Its WQE has a scatter entry behind what comes before it.
    if ((16u << (attributes.ring.signature ? 1 : 0)) + 16 > 1u << attributes.ring.strideShift) return EINVAL;
  }
  *wqn = wqs_.allocate();
  if (*wqn == 0) return ENOSPC;
  wqList_.push_back(wqs_.insert(*wqn, std::make_unique<WorkQueue>(*wqn, attributes, cq)));
  ++cq->users;
  return 0;
}

// ibv_modify_wq(3): reset to ready, and from anywhere to reset or error.
int Engine::modifyWorkQueue(uint32_t wqn, WorkQueueState state) {
  WorkQueue* wq = wqs_.find(wqn);
  if (wq == nullptr) return ENOENT;
  if (state == WorkQueueState::ready && wq->state == WorkQueueState::err) return EINVAL;
  if (state == WorkQueueState::reset) wq->receiver.reset();
  if (state == WorkQueueState::err) {
    flushFromNowOn(wq->receiver);
  } else {
    flushNoMore(wq->receiver);
  }
  wq->state = state;
  wq->receiver.open = state == WorkQueueState::ready;
  return 0;
}

int Engine::destroyWorkQueue(uint32_t wqn) {
  WorkQueue* wq = wqs_.find(wqn);
  if (wq == nullptr) return ENOENT;
  if (wq->users != 0) return EBUSY;
  --wq->receiver.cq->users;
  flushNoMore(wq->receiver);
  erase(wqList_, wq);
  wqs_.remove(wqn);
  return 0;
}

int Engine::createIndirectionTable(const std::vector<uint32_t>& wqns, uint32_t* number) {
  if (!powerOfTwo(wqns.size()) || wqns.size() > kMaxIndirection) return EINVAL;
  auto table = std::make_unique<IndirectionTable>();
  for (const uint32_t wqn : wqns) {
    WorkQueue* wq = wqs_.find(wqn);
    if (wq == nullptr) return EINVAL;
    table->queues.push_back(wq);
  }
  *number = indirections_.allocate();
  if (*number == 0) return ENOSPC;
  for (WorkQueue* wq : table->queues) ++wq->users;
  indirections_.insert(*number, std::move(table));
  return 0;
}

int Engine::destroyIndirectionTable(uint32_t number) {
  IndirectionTable* table = indirections_.find(number);
  if (table == nullptr) return ENOENT;
  if (table->users != 0) return EBUSY;
  for (WorkQueue* wq : table->queues) --wq->users;
  indirections_.remove(number);
  return 0;
}

int Engine::createFlow(const FlowRule& rule, uint32_t* number) {
  Port* port = this->port(rule.port);
  if (port == nullptr) return EINVAL;
  if (rule.egress) return EOPNOTSUPP;
  if (rule.tagged && rule.tag > 0xffffff) return EINVAL;
  if (rule.drop && (rule.tagged || rule.type != FlowType::normal)) return EINVAL;
  RawTarget* target = nullptr;
  if (!rule.drop) {
    QueuePair* qp = qps_.find(rule.qpn);
    if (qp == nullptr || qp->type != QueuePairType::rawPacket) return EINVAL;
    if (qp->target.rss == nullptr && qp->receiver.cq == nullptr) return EINVAL;  // it has no receive queue
    target = &qp->target;
  }
  *number = flows_.allocate();
  if (*number == 0) return ENOSPC;
  flows_.insert(*number, std::make_unique<uint8_t>(rule.port));
  if (target != nullptr) ++target->rules;
  // First there: a frame may be lost between the two, but none is answered by the kernel. The defaults come behind the
  // kernel's own tables (drivers/infiniband/hw/mlx5/fs.c: MLX5_FLOW_NAMESPACE_LEFTOVERS), and who does not trap or
  // sniffs leaves the frame to others.
  if (rule.type == FlowType::normal && !rule.dontTrap) port->take(*number, rule.outer, rule.inner, events_);
  port->steering.add(rule, target, *number);
  return 0;
}

int Engine::destroyFlow(uint32_t number) {
  const uint8_t* port = flows_.find(number);
  if (port == nullptr) return ENOENT;
  RawTarget* target = nullptr;
  this->port(*port)->steering.remove(number, &target);
  this->port(*port)->giveBack(number);
  if (target != nullptr) --target->rules;
  flows_.remove(number);
  return 0;
}

}  // namespace soft

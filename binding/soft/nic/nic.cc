#include "nic/nic.h"

#include <cerrno>

#include "nic/engine.h"

namespace soft {

class Nic::Control {
 public:
  explicit Control(Nic& nic) : nic_(nic) {
    nic_.waiting_.fetch_add(1);
    nic_.mutex_.lock();
    nic_.waiting_.fetch_sub(1);
  }
  ~Control() { nic_.mutex_.unlock(); }

 private:
  Nic& nic_;
};

namespace {

// Rules lead to a tag of 0 unless they say otherwise.
FlowRule normalized(FlowRule rule) {
  if (!rule.tagged) rule.tag = 0;
  return rule;
}

}  // namespace

Nic::Nic(const NicAttributes& attributes, Events& events) : engine_(std::make_unique<Engine>(attributes, events)) {}
Nic::~Nic() = default;

bool Nic::step(uint64_t now) {
  if (waiting_.load(std::memory_order_relaxed) != 0) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  return engine_->step(now);
}

bool Nic::settled() {
  const Control lock(*this);
  return engine_->settled();
}

void Nic::stir() {
  const Control lock(*this);
  engine_->stir();
}

bool Nic::judges(const void* bell, size_t size) {
  const Control lock(*this);
  return engine_->judges(bell, size);
}

BellState Nic::atDoor(const void* address, size_t size) {
  const Control lock(*this);
  return engine_->atDoor(address, size);
}

void Nic::stored(const void* address, size_t size) {
  const Control lock(*this);
  engine_->stored(address, size);
}

uint32_t Nic::rings(const void* address, size_t size) {
  const Control lock(*this);
  return engine_->rings(address, size);
}

uint64_t Nic::deadline() {
  const Control lock(*this);
  return engine_->deadline();
}

std::vector<int> Nic::descriptors() {
  const Control lock(*this);
  return engine_->descriptors();
}

bool Nic::leavesProcess() {
  const Control lock(*this);
  return engine_->leavesProcess();
}

void Nic::fail() {
  const Control lock(*this);
  engine_->fail();
}

int Nic::connect(uint8_t port, std::shared_ptr<Wire> wire, int end) {
  const Control lock(*this);
  return engine_->connect(port, std::move(wire), end);
}

int Nic::setLink(uint8_t port, bool up) {
  const Control lock(*this);
  return engine_->setLink(port, up);
}

bool Nic::linkUp(uint8_t number) {
  const Control lock(*this);
  const Port* port = engine_->port(number);
  return port != nullptr && !engine_->failed() && port->linkUp && port->wire != nullptr && port->wire->up();
}

uint32_t Nic::activeMtu(uint8_t number) {
  const Control lock(*this);
  const Port* port = engine_->port(number);
  return port == nullptr ? 0 : port->mtu;
}

int Nic::setGid(uint8_t number, uint32_t index, const Gid& gid) {
  const Control lock(*this);
  return engine_->setGid(number, index, gid);
}

int Nic::counters(uint8_t number, PortCounters* counters) {
  const Control lock(*this);
  const Port* port = engine_->port(number);
  if (port == nullptr) return EINVAL;
  *counters = port->counters;
  return 0;
}

// A command on a card that is gone fails, but a destroy succeeds.
#define SOFT_CREATE(...)     \
  const Control lock(*this); \
  return engine_->failed() ? EIO : engine_->__VA_ARGS__
#define SOFT_CALL(...)       \
  const Control lock(*this); \
  return engine_->__VA_ARGS__

void Nic::allocateTransportDomain(uint32_t* number) {
  const Control lock(*this);
  engine_->allocateTransportDomain(number);
}

void Nic::freeTransportDomain() {
  const Control lock(*this);
  engine_->freeTransportDomain();
}

int Nic::allocateProtectionDomain(uint32_t* pdn) { SOFT_CREATE(allocateProtectionDomain(pdn)); }
int Nic::freeProtectionDomain(uint32_t pdn) { SOFT_CALL(freeProtectionDomain(pdn)); }
int Nic::createMemoryRegion(const MemoryRegionAttributes& attributes, uint32_t* mkey) {
  SOFT_CREATE(createMemoryRegion(attributes, mkey));
}
int Nic::changeMemoryRegion(uint32_t mkey, const MemoryRegionAttributes& attributes, uint32_t* newMkey) {
  SOFT_CREATE(changeMemoryRegion(mkey, attributes, newMkey));
}
int Nic::destroyMemoryRegion(uint32_t mkey) { SOFT_CALL(memory().destroy(mkey, false)); }
int Nic::createMemoryWindow(uint32_t pd, WindowType type, uint32_t* rkey) {
  SOFT_CREATE(createMemoryWindow(pd, type, rkey));
}
int Nic::destroyMemoryWindow(uint32_t rkey) { SOFT_CALL(memory().destroy(rkey, true)); }
int Nic::createCompletionQueue(const CompletionQueueAttributes& attributes, uint32_t* cqn) {
  SOFT_CREATE(createCompletionQueue(attributes, cqn));
}
int Nic::resizeCompletionQueue(uint32_t cqn, void* buffer, uint32_t entries, uint32_t cqeSize) {
  SOFT_CREATE(resizeCompletionQueue(cqn, buffer, entries, cqeSize));
}
int Nic::moderateCompletionQueue(uint32_t cqn, uint16_t count, uint16_t period) {
  SOFT_CREATE(moderateCompletionQueue(cqn, count, period));
}
int Nic::destroyCompletionQueue(uint32_t cqn) { SOFT_CALL(destroyCompletionQueue(cqn)); }
int Nic::createSharedReceiveQueue(const SharedReceiveQueueAttributes& attributes, uint32_t* srqn) {
  SOFT_CREATE(createSharedReceiveQueue(attributes, srqn));
}
int Nic::setSharedReceiveQueueLimit(uint32_t srqn, uint32_t limit) {
  const Control lock(*this);
  SharedReceiveQueue* srq = engine_->sharedReceiveQueue(srqn);
  if (srq == nullptr) return ENOENT;
  if (limit > srq->queue.count()) return EINVAL;
  srq->limit = limit;
  return 0;
}
int Nic::sharedReceiveQueueLimit(uint32_t srqn, uint32_t* limit) {
  const Control lock(*this);
  const SharedReceiveQueue* srq = engine_->sharedReceiveQueue(srqn);
  if (srq == nullptr) return ENOENT;
  *limit = srq->limit;
  return 0;
}
int Nic::destroySharedReceiveQueue(uint32_t srqn) { SOFT_CALL(destroySharedReceiveQueue(srqn)); }
int Nic::createQueuePair(const QueuePairAttributes& attributes, uint32_t* qpn) {
  SOFT_CREATE(createQueuePair(attributes, qpn));
}
int Nic::createRssQueuePair(const RssQueuePairAttributes& attributes, uint32_t* qpn) {
  SOFT_CREATE(createRssQueuePair(attributes, qpn));
}
int Nic::modifyQueuePair(uint32_t qpn, const QueuePairChange& change) { SOFT_CALL(modifyQueuePair(qpn, change)); }
int Nic::queryQueuePair(uint32_t qpn, QueuePairStatus* status) { SOFT_CALL(queryQueuePair(qpn, status)); }
int Nic::destroyQueuePair(uint32_t qpn) { SOFT_CALL(destroyQueuePair(qpn)); }
int Nic::attachMulticast(uint32_t qpn, const Gid& gid) { SOFT_CREATE(attachMulticast(qpn, gid, true)); }
int Nic::detachMulticast(uint32_t qpn, const Gid& gid) { SOFT_CALL(attachMulticast(qpn, gid, false)); }
int Nic::createWorkQueue(const WorkQueueAttributes& attributes, uint32_t* wqn) {
  SOFT_CREATE(createWorkQueue(attributes, wqn));
}
int Nic::modifyWorkQueue(uint32_t wqn, WorkQueueState state) { SOFT_CREATE(modifyWorkQueue(wqn, state)); }
int Nic::setWorkQueueVlanStripping(uint32_t wqn, bool strip) {
  const Control lock(*this);
  WorkQueue* wq = engine_->workQueue(wqn);
  if (wq == nullptr) return ENOENT;
  wq->receiver.stripVlan = strip;
  return 0;
}
int Nic::destroyWorkQueue(uint32_t wqn) { SOFT_CALL(destroyWorkQueue(wqn)); }
int Nic::createIndirectionTable(const std::vector<uint32_t>& wqns, uint32_t* number) {
  SOFT_CREATE(createIndirectionTable(wqns, number));
}
int Nic::destroyIndirectionTable(uint32_t number) { SOFT_CALL(destroyIndirectionTable(number)); }
int Nic::createFlow(const FlowRule& rule, uint32_t* number) { SOFT_CREATE(createFlow(normalized(rule), number)); }
int Nic::destroyFlow(uint32_t number) { SOFT_CALL(destroyFlow(number)); }

}  // namespace soft

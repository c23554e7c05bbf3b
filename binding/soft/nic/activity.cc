// Which queues have something to do. A step costs as much as these, however many idle ones there are: queue pairs that
// lately had work, those that a packet arrived for, those whose timer expired, those that doorbell registers hint at
// (doorbell_registers.h).
#include <algorithm>

#include "nic/engine.h"

namespace soft {

namespace {

// Looks in a row that find nothing before a queue pair has to ring its register to be looked at again.
constexpr uint32_t kPatience = 64;
// Doorbell records that a step looks at, beside those of active queue pairs: more where there is nothing else to do.
constexpr size_t kWalkIdle = 32, kWalkBusy = 8;
constexpr size_t kLate = 32;                // queues in error whose receives a step looks for
constexpr uint64_t kLateLook = 10'000'000;  // and how often it looks, asleep: nothing else would wake it

}  // namespace

void Engine::activate(QueuePair& qp) {
  qp.idle = 0;
  if (qp.active) return;
  qp.active = true;
  active_.push_back(&qp);
}

void Engine::heard(QueuePair& qp) {
  activate(qp);
  if (qp.heard) return;
  qp.heard = true;
  heard_.push_back(&qp);
}

// Before it is destroyed.
void Engine::forget(QueuePair& qp) {
  queues_.remove(&qp.watch);
  if (qp.active) active_.erase(std::find(active_.begin(), active_.end(), &qp));
  if (qp.heard) heard_.erase(std::find(heard_.begin(), heard_.end(), &qp));
  flushNoMore(qp.receiver);
  qpList_[qp.place] = qpList_.back();
  qpList_[qp.place]->place = qp.place;
  qpList_.pop_back();
}

// A receive that is posted to a queue in error writes its record and no register.
void Engine::flushFromNowOn(Receiver& receiver) {
  if (receiver.late || receiver.queue.count() == 0) return;
  receiver.late = true;
  late_.push_back(&receiver);
}

void Engine::flushNoMore(Receiver& receiver) {
  if (!receiver.late) return;
  receiver.late = false;
  late_.erase(std::find(late_.begin(), late_.end(), &receiver));
}

bool Engine::flushLate() {
  bool busy = false;
  for (size_t count = std::min(late_.size(), kLate); count != 0; --count) {
    if (lateTurn_ >= late_.size()) lateTurn_ = 0;
    busy |= flushReceives(*late_[lateTurn_++]);
  }
  return busy;
}

bool Engine::stepActive() {
  bool busy = false;
  for (size_t i = 0; i < active_.size();) {
    QueuePair& qp = *active_[i];
    // Marked as read before the last look: what is rung after it is news again.
    if (qp.idle >= kPatience && qp.watch.at != nullptr) queues_.heed(qp.watch);
    blocked_ = false;
    bool worked = stepQueuePair(qp);
    if (qp.lost() && !qp.fatal) {
      lose(qp);
      worked = true;
    }
    setTimer(qp);
    busy |= worked;
    if (worked || blocked_) {
      qp.idle = 0;
    } else if (qp.idle++ >= kPatience) {
      qp.active = false;
      active_[i] = active_.back();
      active_.pop_back();
      continue;
    }
    ++i;
  }
  return busy;
}

// The memory of a ring or a record of its is gone: it cannot even flush what was posted there.
void Engine::lose(QueuePair& qp) {
  qp.fatal = true;
  if (qp.srq != nullptr && qp.srq->queue.lost() && !qp.srq->failed) {
    qp.srq->failed = true;
    events_.asynchronous({AsyncEventType::srqError, qp.srq->number, qp.srq->cookie});
  }
  toError(qp);
  raise(AsyncEventType::qpFatal, qp);
}

// Records that no register named. Whether one of them had news.
bool Engine::walk(bool busy) {
  bool found = false;
  if (busy) {
    queues_.stir();
    arms_.stir();
  }
  const size_t budget = busy ? kWalkBusy : kWalkIdle;
  queues_.walk(budget, [&](uint32_t qpn) {
    activate(*qps_.find(qpn));
    found = true;
  });
  arms_.walk(budget, [&](uint32_t cqn) {
    touch(*cqs_.find(cqn));
    found = true;
  });
  return found;
}

// What came is acknowledged on the wire before the lock is released: a process that destroys its queue pair and ends
// with the last completion must not leave its peer without an answer.
void Engine::answer() {
  bool answered = false;
  for (QueuePair* qp : heard_) {
    qp->heard = false;
    if (qp->state != QueuePairState::reset) answered |= qp->transport->transmit();
    setTimer(*qp);
  }
  heard_.clear();
  if (!answered) return;
  for (const std::unique_ptr<Port>& port : ports_) {
    if (port->wire != nullptr) port->wire->step(now_);
  }
}

void Engine::writeCompletions(CompletionQueue& cq) {
  cq.flush([this, &cq](uint32_t qpn) { completionLost(cq, qps_.find(qpn)); });
}

void Engine::writeCompletions() {
  // A queue pair that is lost with its completions may have others to be touched.
  for (size_t i = 0; i < touched_.size(); ++i) writeCompletions(*touched_[i]);
}

void Engine::raiseCompletions() {
  writeCompletions();
  size_t kept = 0;
  for (CompletionQueue* cq : touched_) {
    if (cq->takeEvent(now_)) events_.completion(cq->number, cq->cookie);
    if (cq->takeError()) events_.asynchronous({AsyncEventType::cqError, cq->number, cq->cookie});
    cq->touched = cq->holdsEvent();  // then it is looked at again in the next step
    if (cq->touched) touched_[kept++] = cq;
  }
  touched_.resize(kept);
}

// The clock may have an earlier time for a queue pair than it needs by now (an acknowledgement came), never a later
// one.
void Engine::setTimer(QueuePair& qp) {
  if (qp.transport == nullptr) return;
  const uint64_t time = qp.transport->deadline();
  if (time >= qp.timer) return;
  qp.timer = time;
  timers_.push_back({time, qp.number});
  std::push_heap(timers_.begin(), timers_.end());
}

void Engine::expireTimers() {
  while (!timers_.empty() && timers_.front().time <= now_) {
    const Timer timer = timers_.front();
    std::pop_heap(timers_.begin(), timers_.end());
    timers_.pop_back();
    QueuePair* qp = qps_.find(timer.qpn);
    if (qp == nullptr || qp->timer != timer.time) continue;  // gone, or there was an earlier one
    qp->timer = kNever;
    if (qp->transport->deadline() <= now_) {
      activate(*qp);
    } else {
      setTimer(*qp);
    }
  }
}

uint64_t Engine::deadline() {
  uint64_t earliest = late_.empty() ? kNever : now_ + kLateLook;
  for (const CompletionQueue* cq : touched_) earliest = std::min(earliest, cq->eventDeadline());
  if (failed_) return earliest;
  for (const std::unique_ptr<Port>& port : ports_) {
    if (port->wire != nullptr) earliest = std::min(earliest, port->wire->deadline());
  }
  while (!timers_.empty()) {
    const Timer timer = timers_.front();
    QueuePair* qp = qps_.find(timer.qpn);
    const bool due = qp != nullptr && qp->timer == timer.time;
    if (due && qp->transport->deadline() == timer.time) return std::min(earliest, timer.time);
    std::pop_heap(timers_.begin(), timers_.end());
    timers_.pop_back();
    if (!due) continue;
    qp->timer = kNever;
    setTimer(*qp);
  }
  return earliest;
}

}  // namespace soft

#include "nic/completion_queue.h"

#include <algorithm>
#include <cerrno>

namespace soft {

CompletionQueue::CompletionQueue(uint32_t number, const CompletionQueueAttributes& attributes)
    : number(number),
      cookie(attributes.cookie),
      watch(number),
      doorbell_(static_cast<uint8_t*>(attributes.doorbell)),
      roomEnd_(attributes.entries),
      told_(kNotArmed),
      ignoreOverrun_(attributes.ignoreOverrun),
      clock_(attributes.clock) {
  setRing(attributes.buffer, attributes.entries, attributes.cqeSize);
  if (attributes.compression != CqeCompression::none) {
    session_ = std::make_unique<CompressionSession>(attributes.compression, attributes.entries);
  }
  if (!guardedStore(doorbell_ + 4, kNotArmed)) fail();
}

bool CompletionQueue::fail() {
  error_ = true;
  errorDue_ = true;
  return false;
}

bool CompletionQueue::write(Cqe cqe) {
  if (error_) return false;
  return !full() && (session_ == nullptr ? hand(cqe) : collect(cqe)) ? true : fail();
}

// A session ends where the ring does: DPDK's vectorised receive reads mini arrays and fills its mbufs straight on from
// the title (mlx5_rxtx_vec_sse.h, rxq_cq_decompress_v), so a card's cannot go on at the ring's beginning (inferred; the
// kernel's reader would take it).
bool CompletionQueue::collect(Cqe cqe) {
  if ((producer_ & mask_) == 0 || !session_->accepts(cqe)) {
    if (session_->count() != 0 && !writeSession()) return false;
    if (!session_->accepts(cqe)) return hand(cqe);
  }
  session_->add(cqe);
  return count(cqe);
}

bool CompletionQueue::writeSession() {
  const uint64_t first = producer_ - session_->count();
  return session_->write([this, first](uint32_t i) { return entry(first + i); }, owner(first));
}

// Whether moderation holds back the event that so many entries call for.
bool CompletionQueue::heldBack(uint64_t entries, uint64_t now) {
  if (moderationCount_ == 0 && moderationPeriod_ == 0) return false;
  if (moderationCount_ != 0 && entries >= moderationCount_) return false;
  if (heldSince_ == kNever) heldSince_ = now;
  return moderationPeriod_ == 0 || now < heldSince_ + moderationPeriod_;
}

bool CompletionQueue::takeEvent(uint64_t now) {
  uint32_t armed;
  if (!loadDoorbell(doorbell_ + 4, &armed)) return error_ ? false : fail();
  if (watch.judged()) armed = told_;
  if (armed == kNotArmed) return false;
  const int sequence = static_cast<int>(armed >> 28 & 3);
  if (sequence == firedSequence_) return false;
  // The index has 24 bits; it is at most one ring behind the producer.
  const uint64_t index = producer_ - ((static_cast<uint32_t>(producer_) - armed) & 0xffffff);
  // A consumer that requests notification of any completion and then, before its event, of solicited ones is notified
  // of any (InfiniBand 11.4.2.2). Both requests are one word under one sequence number, so of two between two looks at
  // it only the later is ever seen.
  if ((armed & MLX5_CQ_DB_REQ_NOT_SOL) == 0 && anySequence_ != sequence) {
    anySequence_ = sequence;
    anyFrom_ = index;
  }
  // An event tells of the first entry that calls for it; others behind that one call for the next event.
  const uint64_t anyBehind = std::max(anyFrom_, notifiedEnd_);
  const uint64_t solicitedBehind = std::max(index, notifiedEnd_);
  if (anySequence_ == sequence && producer_ > anyBehind) {
    if (heldBack(producer_ - anyBehind, now)) return false;
    notifiedEnd_ = anyBehind + 1;
  } else if (solicitedEnd_ > solicitedBehind) {
    if (heldBack(producer_ - solicitedBehind, now)) return false;
    // Where there are several of them the first may be any entry: rather an event too many than one too few.
    notifiedEnd_ = solicitedBefore_ > solicitedBehind ? solicitedBehind + 1 : solicitedEnd_;
  } else {
    heldSince_ = kNever;
    return false;
  }
  heldSince_ = kNever;
  firedSequence_ = sequence;
  anySequence_ = -1;
  return true;
}

int CompletionQueue::resize(void* buffer, uint32_t entries, uint32_t cqeSize, uint64_t now) {
  if (error_) return EIO;
  if (!loadConsumer()) return EFAULT;
  if (waiting() >= entries) return EINVAL;  // would not fit
  Cqe last(MLX5_CQE_RESIZE_CQ, false, 0, 0, 0);
  last.setTimestamp(stamp(now));
  if (!hold(last, 0)) return EIO;
  flush([](uint32_t) {});  // it ends a session
  if (error_) return EIO;
  // mlx5_cq_resize_copy_cqes moves entry i of the old ring to i + 1 of the new one and counts the resize entry as
  // consumed: so the producer's index goes on unchanged.
  setRing(buffer, entries, cqeSize);
  roomEnd_ = producer_;  // the next look at the driver's index says
  return 0;
}

}  // namespace soft

// A completion queue: the ring that the NIC writes and the driver reads. A bit in an entry's last byte
// (MLX5_CQE_OWNER_MASK), which flips with every lap, says whether it is new, so neither side needs the other's index;
// only against overrun, and to be woken, the driver keeps its consumer index in the doorbell record.
#pragma once

#include <cstdint>
#include <memory>

#include "nic/attributes.h"
#include "nic/compression.h"
#include "nic/cqe.h"
#include "nic/doorbell_registers.h"
#include "wire/wire.h"

namespace soft {

class CompletionQueue {
 public:
  // Never a value of the driver's (bits 31..30 and 27..25 are always 0): tells "not armed yet" from a first arm at
  // index 0 with sequence number 0, which is the word 0 (libmlx5 mlx5_arm_cq).
  static constexpr uint32_t kNotArmed = 0xffffffff;

  CompletionQueue(uint32_t number, const CompletionQueueAttributes& attributes);

  // Keeps one entry until flush() writes it, its line asked for meanwhile; `qpn` is whose it is, 0 for nobody's. Not
  // while holdsAll(). False when the ring is full (overrun): then the CQ is in error and stays so.
  bool hold(const Cqe& cqe, uint32_t qpn) {
    if (error_) return false;
    if (full()) return fail();
    if (session_ != nullptr) return collect(cqe) || fail();
    prefetchForWrite(entry(producer_ + kPrefetched));
    if (!cqe.layBefore(entry(producer_))) return fail();
    cqe.layOut(held_[heldCount_], owner(producer_));
    heldFor_[heldCount_++] = qpn;
    return count(cqe);
  }
  bool holdsAll() const { return heldCount_ == kHeld; }
  bool holdsNone() const { return heldCount_ == 0; }
  // Writes one entry at once, while holdsNone(). False as above, and where its memory is gone. By value: an entry whose
  // address is given away is laid out field by field in memory, one that is only held stays in registers.
  bool write(Cqe cqe);

  // Writes the entries that are held or collected to be compressed, in their order. Where its memory is gone the CQ is
  // in error, and lost(qpn) is called for each entry that was held and not written. No entry is held beyond the step
  // that it came in.
  template <typename Lost>
  void flush(Lost lost) {
    if (session_ != nullptr && session_->count() != 0 && !writeSession()) fail();
    const uint32_t count = heldCount_;
    if (count == 0) return;
    heldCount_ = 0;
    uint32_t written = 0;
    // The word with op_own last: that store hands the entry over.
    if (!error_) {
      // In locals: the stores may go anywhere, as far as the compiler knows.
      uint8_t* const entries = entries_;
      const uint64_t first = producer_ - count, mask = mask_;
      const uint32_t shift = shift_;
      while (written < count && guardedHand(entries + (((first + written) & mask) << shift), held_[written])) ++written;
      if (written != count) fail();
    }
    for (; written < count; ++written) lost(heldFor_[written]);
  }
  // Whether its entries are to have a checksum.
  bool wantsChecksum() const { return session_ != nullptr && session_->carriesChecksum(); }

  // Whether to raise an event now: armed, and there is an entry behind the index that the driver armed at and behind
  // the last one that an event told of. A driver that arms before it polls arms at an index before that entry, and
  // takes an event without an entry for a failure (rdma-core's rc_pingpong.c); a card keeps last_notified_index for it
  // (mlx5_ifc.h, cqc_bits; that this is what it is for is inferred).
  // A moderated queue waits at time `now` until so many entries call for the event, or for so long since it was due.
  bool takeEvent(uint64_t now);
  // MODIFY_CQ: `count` entries (0: however many), `period` microseconds (0: however long), whichever comes first; both
  // 0: no moderation. That a card reckons so of both is inferred (cqc_bits: cq_max_count, cq_period).
  void moderate(uint16_t count, uint16_t period) {
    moderationCount_ = count;
    moderationPeriod_ = uint64_t{period} * 1000;
  }
  // When an event that moderation holds back is to be raised at the latest; kNever when there is none, or no such time.
  uint64_t eventDeadline() const {
    return heldSince_ == kNever || moderationPeriod_ == 0 ? kNever : heldSince_ + moderationPeriod_;
  }
  bool holdsEvent() const { return heldSince_ != kNever; }

  // Between steps. Writes the MLX5_CQE_RESIZE_CQ entry, then goes on in the new ring, one entry further: the driver
  // copies the rest.
  int resize(void* buffer, uint32_t entries, uint32_t cqeSize, uint64_t now);

  bool error() const { return error_; }
  // Whether the asynchronous event of an error is still to be raised: once.
  bool takeError() {
    const bool due = errorDue_;
    errorDue_ = false;
    return due;
  }
  // It is in error, and asks for nothing more. Returns false.
  bool fail();
  // Where its register alone decides what is armed: the word that the register told.
  void tell(uint32_t arm) { told_ = arm; }
  uint32_t told() const { return told_; }
  uint32_t entries() const { return mask_ + 1; }
  // The longest message that an entry brings itself (qp.c, configure_responder_scat_cqe: MLX5_RES_SCAT_DATA32_CQE, or
  // …_DATA64_CQE with entries of 128 bytes).
  uint32_t inlineRoom() const { return shift_ == 7 ? 64 : 32; }
  uint64_t produced() const { return producer_; }
  // mlx5.h: MLX5_CQ_SET_CI = 0, MLX5_CQ_ARM_DB = 1.
  const uint8_t* armRecord() const { return doorbell_ + 4; }

  // The timestamp of an entry that is made in a step which began at `step`.
  uint64_t stamp(uint64_t step) const { return clock_ != nullptr ? clock_() : step; }

  const uint32_t number;
  void* const cookie;
  uint32_t users = 0;  // queues that complete here
  DoorbellRegisters::Watch watch;
  bool touched = false;  // it is on the list of those that may owe an event

 private:
  bool loadConsumer() {
    uint32_t word;
    if (!loadDoorbell(doorbell_, &word)) return false;
    consumer_ = word & 0xffffff;
    return true;
  }

  // How many entries the driver has not taken. It writes 24 bits of its index, or 16 (DPDK's send queues): both say
  // what there is modulo twice the ring, and a ring holds no more (that a card reckons so is inferred).
  uint32_t waiting() const { return (static_cast<uint32_t>(producer_) - consumer_) & (2 * mask_ + 1); }

  // The driver's index is looked at only where what it said last leaves no room.
  bool full() {
    if (producer_ < roomEnd_) return false;
    if (!loadConsumer()) return true;
    if (waiting() > mask_) return !ignoreOverrun_;
    roomEnd_ = producer_ + (mask_ + 1 - waiting());
    return false;
  }

  bool heldBack(uint64_t entries, uint64_t now);

  // The 64 bytes of an entry; of 128 bytes they are the second half.
  uint8_t* entry(uint64_t index) const { return entries_ + ((index & mask_) << shift_); }
  void setRing(void* buffer, uint32_t entries, uint32_t cqeSize) {
    entries_ = static_cast<uint8_t*>(buffer) + (cqeSize - 64);
    mask_ = entries - 1;
    shift_ = cqeSize == 128 ? 7 : 6;
  }
  uint8_t owner(uint64_t index) const { return (index & (uint64_t{mask_} + 1)) != 0 ? 1 : 0; }

  bool hand(const Cqe& cqe) { return cqe.hand(entry(producer_), owner(producer_)) && count(cqe); }
  bool collect(Cqe cqe);
  bool writeSession();
  bool count(const Cqe& cqe) {
    ++producer_;
    if (cqe.solicited()) {
      solicitedBefore_ = solicitedEnd_;
      solicitedEnd_ = producer_;
    }
    return true;
  }

  // Entries that are held at most, and how far ahead of the next one lines are asked for.
  static constexpr uint32_t kHeld = 32, kPrefetched = 4;

  uint8_t* entries_;
  uint8_t* doorbell_;
  uint64_t producer_ = 0;  // those that are held or collected included
  uint64_t roomEnd_;       // up to this index there is room, whatever the driver's index is by now
  uint64_t held_[kHeld][8];
  uint32_t heldFor_[kHeld];
  uint32_t heldCount_ = 0;
  std::unique_ptr<CompressionSession> session_;  // null: nothing is compressed
  // Indices behind the last entry that a solicited-only request wants to hear of, behind the one before it, and behind
  // the last entry that an event told of.
  uint64_t solicitedEnd_ = 0;
  uint64_t solicitedBefore_ = 0;
  uint64_t notifiedEnd_ = 0;
  uint32_t mask_;
  uint32_t shift_;  // of an entry's size
  uint32_t consumer_ = 0;
  uint32_t told_;
  int firedSequence_ = -1;         // the arm sequence number that has had its event
  int anySequence_ = -1;           // the one that was seen to ask for any completion
  uint64_t anyFrom_ = 0;           // and from which entry on
  uint64_t moderationPeriod_ = 0;  // nanoseconds
  uint64_t heldSince_ = kNever;    // an event is due and held back since then
  uint16_t moderationCount_ = 0;
  bool ignoreOverrun_;
  uint64_t (*clock_)();
  bool error_ = false;
  bool errorDue_ = false;
};

}  // namespace soft

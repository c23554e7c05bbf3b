#pragma once

#include <deque>
#include <memory>

#include "bell.h"
#include "mlx5/completion_queue_ring.h"
#include "shared_memory.h"
#include "verbs/context.h"
#include "verbs/records.h"

namespace verbs {

class ProtectionDomain;
class QueuePair;

class CompletionQueue : public Handle {
 public:
  static constexpr Kind kKind = Kind::CompletionQueue;

  // `domain`: the one by way of which libmlx5 allocates the ring in memory of JavaScript's; null for any other queue.
  CompletionQueue(Context& context, ProtectionDomain* domain, uint32_t batch, SharedMemory columns, bool stamped);

  // How many words the shared block needs: the columns, the control words, and of a queue with timestamps these, lower
  // halves first.
  static size_t blockWords(uint32_t batch, bool stamped) {
    return stampsAt(batch) + (stamped ? 2 * static_cast<size_t>(batch) : 0);
  }
  // From now on until release(), JavaScript may read the device's own ring.
  void watchRing() { watched_ = true; }

  int release(const char** syscall) override;

  // What a poll returns once JavaScript reads the device's ring itself: no errno.
  static constexpr int32_t kHandedOver = INT32_MIN + 1;

  // Fills the columns with up to a batch of completions and returns how many; negative errno on failure.
  int32_t poll();
  // poll() as a function for hot code. The mailbox's second word is 1 as long as JavaScript may read the device's own
  // ring: nobody but that code has the mailbox, and nobody can have it read a ring that is unmapped.
  Napi::Value pollBell(Napi::Env env, Napi::Value mailbox);
  // Polls until there is a completion or `nanoseconds` have passed.
  int32_t pollFor(uint64_t nanoseconds);
  // Asks for an event at the next completion, or at the next that is solicited or failed; returns 0 or errno.
  int arm(bool solicitedOnly);
  // An event of this queue was read from the channel.
  void eventRead();

  // Polls the device's queue empty, so that the entries that a queue pair gives back are really free. Drops the
  // completions of `pair`, which is being reset or destroyed, and keeps the others for the next polls.
  void purge(const QueuePair& pair);
  // Polls the device's queue empty and keeps all completions for the next polls; returns how many are of sends of
  // `pair`.
  uint32_t hold(const QueuePair& pair);
  // Like purge, but retires the requests of `pair`, which waits for its last completion.
  void drainInto(QueuePair& pair);

  // A completion queue cannot overrun: each queue pair reserves as many entries as it can ever fill.
  bool takeCredits(uint32_t count) {
    if (count > entries() - credits_) return false;
    credits_ += count;
    return true;
  }
  void giveCredits(uint32_t count) { credits_ -= count; }
  uint32_t freeCredits() const { return entries() - credits_; }
  uint32_t entries() const { return static_cast<uint32_t>(ibv->cqe); }

  Context& context;
  ibv_cq* ibv = nullptr;
  // Whether completions carry the device's clock (IBV_WC_EX_WITH_COMPLETION_TIMESTAMP): `ibv` is an ibv_cq_ex.
  const bool stamped;
  // Only where the device's ring lies in memory of JavaScript's.
  std::unique_ptr<mlx5::CompletionQueueRing> ring;

 private:
  static size_t stampsAt(uint32_t batch) {
    return static_cast<size_t>(batch) * records::kCompletionColumns + records::kQueueControlWords;
  }
  // How many completions are looked at together.
  static constexpr int kChunk = 32;

  // ibv_poll_cq(3) into polled_; nothing where JavaScript reads the device's ring itself. `stamps`, if given, are those
  // of a stamped queue.
  int pollDevice(int most, uint64_t* stamps = nullptr);
  int pollStamped(int most, uint64_t* stamps);
  // Polls all that there is.
  template <typename Take>
  void forAll(Take take);

  // Publishes how many completions are kept here, which the device's ring does not show.
  void publish();
  template <typename OfPair>
  void sift(uint32_t pair, OfPair ofPair);
  bool deliver(const ibv_wc& completion, uint32_t row);
  // The oldest into polled_, kept ones first.
  int next(int most, uint64_t* stamps);

  const uint32_t batch_;
  SharedMemory columns_;
  std::deque<ibv_wc> kept_;
  // All zeros between polls: ibv_poll_cq(3) leaves as they were the fields that mean nothing for a completion.
  ibv_wc polled_[kChunk]{};
  bool watched_ = false;
  uint32_t credits_ = 0;
  uint32_t unacknowledged_ = 0;
  enum class Armed { no, solicitedOnly, any } armed_ = Armed::no;

  static void ringPoll(CompletionQueue& queue, int32_t* mailbox) { mailbox[0] = queue.poll(); }
  Bell<CompletionQueue, ringPoll> pollBell_;
};

}  // namespace verbs

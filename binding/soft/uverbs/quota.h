// How many objects of a kind a device has and may have: the limit that ibv_query_device(3) reports holds for all
// contexts together.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "uverbs/limits.h"

namespace soft::uverbs {

class Quota {
 public:
  // `most`, or `objects` where the device was given fewer of everything; 0: it was not.
  Quota(uint32_t most, uint32_t objects) : most(objects && objects < most ? objects : most) {}

  bool take() {
    uint32_t used = used_;
    do {
      if (used >= most) return false;
    } while (!used_.compare_exchange_weak(used, used + 1));
    return true;
  }
  void giveBack(uint32_t count = 1) { used_ -= count; }

  const uint32_t most;

 private:
  std::atomic<uint32_t> used_{0};
};

// One object taken from the quota, and given back unless it is kept.
class Place {
 public:
  explicit Place(Quota& quota) : quota_(quota.take() ? &quota : nullptr) {}
  Place(Place&& other) noexcept : quota_(std::exchange(other.quota_, nullptr)) {}
  Place(const Place&) = delete;
  ~Place() {
    if (quota_) quota_->giveBack();
  }
  explicit operator bool() const { return quota_ != nullptr; }
  void keep() { quota_ = nullptr; }

 private:
  Quota* quota_;
};

struct Quotas {
  explicit Quotas(uint32_t objects)
      : domains(limits::kProtectionDomains, objects),
        regions(limits::kMemoryRegions, objects),
        windows(limits::kMemoryRegions, objects),
        completionQueues(limits::kCompletionQueues, objects),
        queuePairs(limits::kQueuePairs, objects),
        sharedReceiveQueues(limits::kSharedReceiveQueues, objects),
        workQueues(limits::kQueuePairs, objects),
        indirectionTables(limits::kIndirectionTables, objects),
        flows(limits::kFlows, objects),
        addressHandles(limits::kAddressHandles, objects) {}

  Quota domains, regions, windows, completionQueues, queuePairs, sharedReceiveQueues, workQueues, indirectionTables,
      flows, addressHandles;
};

}  // namespace soft::uverbs

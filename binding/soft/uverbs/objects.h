// What the commands create: each a number of the NIC's and what only the kernel side has to remember of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nic/attributes.h"
#include "uverbs/event_file.h"

namespace soft::uverbs {

struct ProtectionDomain {
  uint32_t pdn;
  uint32_t addressHandles = 0;  // that the NIC knows nothing of
};

struct MemoryRegion {
  uint32_t key;
  MemoryRegionAttributes attributes;
};

struct MemoryWindow {
  uint32_t key;
};

// An object that events name. The program counts those that it acknowledges, so the answer to its destruction must say
// how many it was given: those reported, less those that it has not read.
struct EventSource {
  uint64_t userHandle = 0;
  std::shared_ptr<EventFile> asynchronousFile;
  std::atomic<uint32_t> asynchronousEvents{0};

  void asynchronous(uint32_t type) {
    asynchronousEvents++;
    asynchronousFile->asynchronous(userHandle, type);
  }
  uint32_t asynchronousEventsRead() { return asynchronousEvents - asynchronousFile->purge(userHandle); }
};

struct CompletionQueue : EventSource {
  uint32_t cqn = 0;
  std::shared_ptr<EventFile> channel;  // null: none
  std::atomic<uint32_t> completionEvents{0};
};

struct QueuePair : EventSource {
  uint32_t qpn = 0;
  QueuePairType type = QueuePairType::rc;
  bool rss = false;
  bool signalAll = false;
  uint32_t maxSendWr = 0, maxReceiveWr = 0, maxSendSge = 0, maxReceiveSge = 0, maxInlineData = 0;
  uint32_t blueFlame = 0;  // the register that it rings, by index
  // What the NIC does not keep, for ibv_query_qp.
  QueuePairChange attributes;
  uint16_t pkeyIndex = 0;
  uint8_t pathMtu = 0;  // enum ibv_mtu
  uint8_t sourceGidIndex = 0;
  uint8_t staticRate = 0;
};

struct SharedReceiveQueue : EventSource {
  uint32_t srqn = 0;
  uint32_t maxWr = 0, maxSge = 0;
};

struct WorkQueue : EventSource {
  uint32_t wqn = 0;
};

struct IndirectionTable {
  uint32_t number;
};

struct Flow {
  uint32_t number;
};

struct AddressHandle {
  std::shared_ptr<ProtectionDomain> domain;
};

}  // namespace soft::uverbs

// One software ConnectX as the machine sees it: an identity, a NIC, and the open files that its events go to.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "device/identity.h"
#include "nic/nic.h"
#include "uverbs/event_file.h"
#include "uverbs/quota.h"

namespace soft {

class Device : public Events {
 public:
  Device(DeviceIdentity identity, const NicAttributes& attributes);

  // From now on `file` gets the events of the whole device and of its ports.
  void listen(const std::shared_ptr<uverbs::EventFile>& file);
  void stopListening(const std::shared_ptr<uverbs::EventFile>& file);

  // Events that did not fit in their sockets are tried again. False when some are still left.
  bool flushEvents();

  // Events of the NIC's: called with its lock held.
  void completion(uint32_t cqn, void* cookie) override;
  void asynchronous(const AsyncEvent& event) override;

  const DeviceIdentity identity;
  const NicAttributes attributes;
  Nic nic;
  uverbs::Quotas quotas;

  // Every event file that any open file made.
  void track(const std::shared_ptr<uverbs::EventFile>& file);

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<uverbs::EventFile>> listeners_;
  std::vector<std::weak_ptr<uverbs::EventFile>> files_;
};

}  // namespace soft

// One software ConnectX as the machine sees it: an identity, a NIC, and the open files that its events go to.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
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
  void notice(const std::string& words) override;  // on standard error
  void violation(const std::string& words) override;

  // What the driver did in strict mode that would hang on a card, in words, the oldest first: at most kViolations.
  std::vector<std::string> violations();
  // Says them on standard error as well, as they come: nobody else will ask.
  void speakUp() { outspoken_ = true; }

  const DeviceIdentity identity;
  const NicAttributes attributes;
  Nic nic;
  uverbs::Quotas quotas;

  // Every event file that any open file made.
  void track(const std::shared_ptr<uverbs::EventFile>& file);

 private:
  static constexpr size_t kViolations = 1000;

  std::mutex mutex_;
  std::atomic<bool> outspoken_{false};
  std::vector<std::string> violations_;
  std::vector<std::shared_ptr<uverbs::EventFile>> listeners_;
  std::vector<std::weak_ptr<uverbs::EventFile>> files_;
};

}  // namespace soft

#include "device/device.h"

#include <algorithm>
#include <cstdio>

#include "uverbs/objects.h"

namespace soft {

Device::Device(DeviceIdentity who, const NicAttributes& nicAttributes)
    : identity(std::move(who)), attributes(nicAttributes), nic(nicAttributes, *this), quotas(identity.maxObjects) {
  for (size_t port = 0; port < identity.ports.size(); port++) {
    const auto& gids = identity.ports[port].gids;
    for (size_t i = 0; i < gids.size(); i++)
      nic.setGid(static_cast<uint8_t>(port + 1), static_cast<uint32_t>(i), gids[i].gid);
  }
}

void Device::listen(const std::shared_ptr<uverbs::EventFile>& file) {
  const std::lock_guard<std::mutex> guard(mutex_);
  listeners_.push_back(file);
}

void Device::stopListening(const std::shared_ptr<uverbs::EventFile>& file) {
  const std::lock_guard<std::mutex> guard(mutex_);
  listeners_.erase(std::remove(listeners_.begin(), listeners_.end(), file), listeners_.end());
}

void Device::track(const std::shared_ptr<uverbs::EventFile>& file) {
  const std::lock_guard<std::mutex> guard(mutex_);
  files_.erase(std::remove_if(files_.begin(), files_.end(), [](const auto& known) { return known.expired(); }),
               files_.end());
  files_.push_back(file);
}

bool Device::flushEvents() {
  const std::lock_guard<std::mutex> guard(mutex_);
  bool all = true;
  for (const auto& known : files_) {
    if (const auto file = known.lock()) all &= file->flush();
  }
  return all;
}

void Device::notice(const std::string& words) {
  fprintf(stderr, "ibverbs soft: %s: %s\n", identity.name.c_str(), words.c_str());
}

void Device::violation(const std::string& words) {
  std::string line = identity.name + ": " + words;
  if (outspoken_) fprintf(stderr, "ibverbs soft: %s\n", line.c_str());
  const std::lock_guard<std::mutex> guard(mutex_);
  if (violations_.size() < kViolations) violations_.push_back(std::move(line));
}

std::vector<std::string> Device::violations() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return violations_;
}

void Device::completion(uint32_t, void* cookie) {
  auto& queue = *static_cast<uverbs::CompletionQueue*>(static_cast<uverbs::EventSource*>(cookie));
  if (!queue.channel) return;
  queue.completionEvents++;
  queue.channel->completion(queue.userHandle);
}

void Device::asynchronous(const AsyncEvent& event) {
  const auto type = static_cast<uint32_t>(event.type);
  switch (event.type) {
    case AsyncEventType::deviceFatal:
    case AsyncEventType::portActive:
    case AsyncEventType::portError: {
      const std::lock_guard<std::mutex> guard(mutex_);
      for (const auto& file : listeners_) file->asynchronous(event.number, type);
      return;
    }
    default: static_cast<uverbs::EventSource*>(event.cookie)->asynchronous(type);
  }
}

}  // namespace soft

#include "device/world.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "device/specification.h"

namespace soft {

int World::open(const std::string& specification, std::string* words) {
  if (const int error = makeDevices(specification, &devices_, words)) return error;
  int error = tree_.create();
  for (const auto& device : devices_) {
    if (!error) error = tree_.add(device->identity);
  }
  if (error) {
    *words = std::string("a temporary directory for sysfs: ") + strerror(error);
    tree_.remove();
  }
  return error;
}

void World::unplug() {
  std::vector<std::shared_ptr<Device>> devices;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    unplugged_ = true;
    tree_.remove();
    devices = devices_;
  }
  for (const auto& device : devices) device->nic.fail();
  driver_.wake();
}

bool World::unplugged() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return unplugged_;
}

void World::endWithProcess() {
  driver_.halt();
  const std::lock_guard<std::mutex> guard(mutex_);
  tree_.remove();
  files_.clear();
  devices_.clear();
}

bool World::over() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return unplugged_ && files_.empty();
}

std::vector<int> World::descriptors() const {
  std::vector<int> open;
  for (const auto& [descriptor, file] : files_) open.push_back(descriptor);
  return open;
}

void World::settle() {
  constexpr int kSteps = 1000;  // others may go on sending
  for (int i = 0; i < kSteps; i++) {
    bool busy = false;
    for (const auto& device : devices_) busy |= device->nic.step(monotonicNow());
    if (!busy) return;
  }
}

std::string World::sysfsPath(const std::string& path) {
  const char* root = getenv("SYSFS_PATH");
  std::string prefix = root && *root ? root : "/sys";
  while (prefix.size() > 1 && prefix.back() == '/') prefix.pop_back();
  const std::lock_guard<std::mutex> guard(mutex_);
  if (tree_.path().empty() || path.compare(0, prefix.size(), prefix) != 0) return {};
  const std::string below = path.substr(prefix.size());
  constexpr char kClass[] = "/class/infiniband";
  if (below.compare(0, sizeof kClass - 1, kClass) != 0) return {};
  for (const auto& device : devices_) {
    for (size_t port = 1; port <= device->identity.ports.size(); port++) {
      if (!SysfsTree::saysCarrier(below, device->identity, port)) continue;
      tree_.setCarrier(device->identity, port, device->nic.linkUp(static_cast<uint8_t>(port)));
    }
  }
  const std::string ours = tree_.path() + below;
  return access(ours.c_str(), F_OK) == 0 ? ours : std::string();
}

std::shared_ptr<Device> World::device(const std::string& path) const {
  constexpr char kFolder[] = "/dev/infiniband/";
  if (path.compare(0, sizeof kFolder - 1, kFolder) != 0) return nullptr;
  const std::lock_guard<std::mutex> guard(mutex_);
  if (unplugged_) return nullptr;  // there may be others of the same name by now
  for (const auto& device : devices_) {
    if (device->identity.uverbs == path.substr(sizeof kFolder - 1)) return device;
  }
  return nullptr;
}

int World::openFile(const std::shared_ptr<Device>& device) {
  const int descriptor = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return -1;
  const std::lock_guard<std::mutex> guard(mutex_);
  if (unplugged_) {
    ::close(descriptor);
    errno = ENODEV;
    return -1;
  }
  if (!driver_.running()) {
    settle();  // whoever opens a device finds its ports as they are, and hears of no past events
    if (const int error = driver_.start(devices_)) {
      ::close(descriptor);
      errno = error;
      return -1;
    }
  }
  files_[descriptor] = std::make_shared<uverbs::VerbsFile>(*this, device);
  return descriptor;
}

std::shared_ptr<uverbs::VerbsFile> World::file(int descriptor) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto known = files_.find(descriptor);
  return known == files_.end() ? nullptr : known->second;
}

void World::watch(const std::shared_ptr<uverbs::EventFile>& file) {
  const std::lock_guard<std::mutex> guard(mutex_);
  eventFiles_[file->descriptor()] = file;
}

std::shared_ptr<uverbs::EventFile> World::eventFile(int descriptor) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto known = eventFiles_.find(descriptor);
  return known == eventFiles_.end() ? nullptr : known->second;
}

void World::discard(const std::shared_ptr<uverbs::EventFile>& file) {
  const int descriptor = file->descriptor();
  closing(descriptor);
  ::close(descriptor);
}

void World::closing(int descriptor) {
  std::shared_ptr<uverbs::VerbsFile> file;
  std::shared_ptr<uverbs::EventFile> events;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto known = files_.find(descriptor);
    if (known != files_.end()) {
      file = std::move(known->second);
      files_.erase(known);
    }
    const auto channel = eventFiles_.find(descriptor);
    if (channel != eventFiles_.end()) {
      events = std::move(channel->second);
      eventFiles_.erase(channel);
    }
  }
  if (events) events->closed();
  if (!file) return;
  file->release();
  file.reset();
  // With the last file goes the thread: nothing is left to be done for anyone.
  const std::lock_guard<std::mutex> guard(mutex_);
  if (files_.empty()) driver_.stop();
}

}  // namespace soft

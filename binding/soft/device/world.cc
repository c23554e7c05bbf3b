#include "device/world.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "device/devices.h"
#include "wire/interface_link.h"

namespace soft {

int World::describe(const std::string& specification, bool card, std::string* words) {
  if (const int error = readSpecification(specification, &specifications_, words)) return error;
  const std::vector<DeviceIdentity> identities = identitiesOf(specifications_);
  if (card && tree_.adopt(identities, specification)) return 0;
  const int error = tree_.create(identities);
  if (error) {
    *words = std::string("a temporary directory for sysfs: ") + strerror(error);
    tree_.remove();
  }
  return error;
}

int World::make(std::string* words) {
  const std::lock_guard<std::mutex> guard(mutex_);
  return devices_.empty() ? makeDevices(specifications_, &devices_, words) : 0;
}

int World::open(const std::string& specification, std::string* words) {
  const int error = describe(specification, false, words);
  return error ? error : make(words);
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

bool World::carrier(size_t device, size_t port) const {
  if (!devices_.empty()) return devices_[device]->nic.linkUp(static_cast<uint8_t>(port));
  // What the wire says once it is made: all but interfaces are up (wire/).
  const std::string& interface = specifications_[device].identity.ports[port - 1].interface;
  return interface.empty() || interfaceRuns(interface);
}

std::string World::sysfsPath(const std::string& path, bool* lists) {
  const std::lock_guard<std::mutex> guard(mutex_);
  size_t device, port;
  if (tree_.saysCarrier(path, &device, &port) && port >= 1 && port <= specifications_[device].identity.ports.size()) {
    tree_.setCarrier(device, port, carrier(device, port));
  }
  *lists = tree_.lists(path);
  return tree_.redirect(path);
}

std::string World::originalPath(const std::string& path) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return tree_.original(path);
}

int World::deviceNumber(const std::string& path) const {
  constexpr char kFolder[] = "/dev/infiniband/";
  if (path.compare(0, sizeof kFolder - 1, kFolder) != 0) return -1;
  const std::lock_guard<std::mutex> guard(mutex_);
  if (unplugged_) return -1;  // there may be others of the same name by now
  for (const DeviceSpecification& device : specifications_) {
    if (device.identity.uverbs == path.substr(sizeof kFolder - 1)) return static_cast<int>(device.identity.index);
  }
  return -1;
}

std::shared_ptr<Device> World::device(const std::string& path) const {
  const int number = deviceNumber(path);
  const std::lock_guard<std::mutex> guard(mutex_);
  return number < 0 || devices_.empty() ? nullptr : devices_[static_cast<size_t>(number)];
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

#include "hooks/registry.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "hooks/environment.h"
#include "wire/life_lines.h"

namespace soft {

Registry& Registry::instance() {
  // Never destroyed: other libraries' destructors may still close files when ours have run.
  static auto* registry = new Registry;
  return *registry;
}

Registry::Registry() {
  pthread_atfork(beforeFork, afterForkInParent, afterForkInChild);
  // A program under LD_PRELOAD just exits: nobody unplugs.
  atexit([] {
    Registry& registry = instance();
    for (const auto& world : registry.worlds()) {
      // Destructors that run later still have the descriptors: their commands fail, and none is told of a success that
      // nobody wrote an answer for.
      world->lock();
      const std::vector<int> descriptors = world->descriptors();
      world->unlock();
      {
        const std::lock_guard<std::mutex> guard(registry.mutex_);
        registry.orphans_.insert(registry.orphans_.end(), descriptors.begin(), descriptors.end());
      }
      world->endWithProcess();
    }
  });
}

void Registry::beforeFork() {
  Registry& registry = instance();
  registry.environmentMutex_.lock();
  registry.mutex_.lock();
  for (const Entry& entry : registry.entries_) entry.world->lock();
}

void Registry::afterForkInParent() {
  Registry& registry = instance();
  for (const Entry& entry : registry.entries_) entry.world->unlock();
  registry.mutex_.unlock();
  registry.environmentMutex_.unlock();
}

void Registry::afterForkInChild() {
  Registry& registry = instance();
  LifeLines::cut();
  for (const Entry& entry : registry.entries_) {
    for (const int descriptor : entry.world->descriptors()) registry.orphans_.push_back(descriptor);
    entry.world->unlock();
    // Kept for ever, untouched: its thread and its directory are the parent's.
    new std::shared_ptr<World>(entry.world);
  }
  registry.entries_.clear();
  registry.described_.reset();
  registry.environmentDone_ = false;
  if (registry.claim_ >= 0) ::close(registry.claim_);
  registry.claim_ = -1;
  registry.mutex_.unlock();
  registry.environmentMutex_.unlock();
}

int Registry::add(const std::string& specification, uint32_t* number, std::string* words) {
  // libibverbs reads one directory, so there is one world at a time that can be listed.
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.world->unplugged()) continue;
    *words = "this process has its software devices already (close them first; IBVERBS_SOFT makes them, too)";
    return EBUSY;
  }
  auto world = std::make_shared<World>();
  if (const int error = world->open(specification, words)) return error;
  *number = next_++;
  entries_.push_back({*number, std::move(world)});
  return 0;
}

void Registry::remove(uint32_t number) {
  if (const auto found = world(number)) found->unplug();
  sweep();
}

void Registry::sweep() {
  std::vector<Entry> over;  // ended outside the lock
  const std::lock_guard<std::mutex> guard(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (entry->world->over()) {
      over.push_back(std::move(*entry));
      entry = entries_.erase(entry);
    } else {
      ++entry;
    }
  }
}

std::shared_ptr<World> Registry::world(uint32_t number) {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.number == number) return entry.world;
  }
  return nullptr;
}

std::vector<std::shared_ptr<World>> Registry::worlds() {
  const std::lock_guard<std::mutex> guard(mutex_);
  std::vector<std::shared_ptr<World>> all;
  for (const Entry& entry : entries_) all.push_back(entry.world);
  return all;
}

bool Registry::any() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [this](const Entry& entry) { return entry.world != described_ && !entry.world->unplugged(); });
}

// With mutex_ held.
void Registry::forgetDescribed() {
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [this](const Entry& entry) { return entry.world == described_; }),
                 entries_.end());
  described_.reset();
}

// Shows the world of the environment, in place of one that was shown before.
int Registry::describe(const std::string& specification, bool card, std::string* words) {
  const std::lock_guard<std::mutex> guard(mutex_);
  forgetDescribed();
  for (const Entry& entry : entries_) {
    if (!entry.world->unplugged()) return 0;  // softConnectX() made one
  }
  auto world = std::make_shared<World>();
  if (const int error = world->describe(specification, card, words)) return error;
  described_ = world;
  entries_.push_back({next_++, std::move(world)});
  return 0;
}

void Registry::describeEnvironment() {
  const std::lock_guard<std::mutex> one(environmentMutex_);
  if (environmentDone_ || described_) return;
  const environment::Devices asked = environment::devices();
  if (asked.specification.empty()) return;
  std::string why;
  const bool card = !asked.card.empty();
  if (describe(card ? asked.card : asked.specification, card, &why))
    complain("IBVERBS_SOFT=" + asked.specification + ": " + why);
}

int Registry::fromEnvironment(std::string* words) {
  const std::lock_guard<std::mutex> one(environmentMutex_);
  if (environmentDone_) return 0;
  const environment::Devices asked = environment::devices();
  if (asked.specification.empty()) return 0;
  std::string why;
  // A second process beside the one that has the card gets a card of its own.
  const bool card = !asked.card.empty() && (claim_ >= 0 || (claim_ = environment::claim(asked.card)) >= 0);
  int error = 0;
  if (!described_ || (!card && !asked.card.empty()))
    error = describe(card ? asked.card : asked.specification, card, &why);
  if (!error && described_) {
    error = described_->make(&why);
    const std::lock_guard<std::mutex> guard(mutex_);
    if (error) {
      forgetDescribed();
    } else {
      for (const auto& device : described_->devices()) device->speakUp();
      described_.reset();
    }
  }
  environmentDone_ = error == 0;
  if (error) *words = "IBVERBS_SOFT=" + asked.specification + ": " + why;
  return error;
}

void Registry::complain(const std::string& words) {
  if (!complained_.exchange(true)) fprintf(stderr, "%s\n", words.c_str());
}

void Registry::fromEnvironmentOrComplain() {
  std::string words;
  if (fromEnvironment(&words)) complain(words);
}

std::string Registry::sysfsPath(const std::string& path, bool* lists) {
  *lists = false;
  for (const auto& world : worlds()) {
    std::string ours = world->sysfsPath(path, lists);
    if (!ours.empty()) return ours;
  }
  return {};
}

std::string Registry::originalPath(const std::string& path) {
  for (const auto& world : worlds()) {
    std::string original = world->originalPath(path);
    if (!original.empty()) return original;
  }
  return {};
}

int Registry::deviceNumber(const std::string& path) {
  for (const auto& world : worlds()) {
    const int number = world->deviceNumber(path);
    if (number >= 0) return number;
  }
  return -1;
}

std::shared_ptr<Device> Registry::device(const std::string& path, std::shared_ptr<World>* owner) {
  for (const auto& world : worlds()) {
    if (auto device = world->device(path)) {
      *owner = world;
      return device;
    }
  }
  return nullptr;
}

std::shared_ptr<uverbs::VerbsFile> Registry::file(int descriptor) {
  for (const auto& world : worlds()) {
    if (auto file = world->file(descriptor)) return file;
  }
  return nullptr;
}

bool Registry::isOrphan(int descriptor) {
  const std::lock_guard<std::mutex> guard(mutex_);
  return std::find(orphans_.begin(), orphans_.end(), descriptor) != orphans_.end();
}

void Registry::closing(int descriptor) {
  for (const auto& world : worlds()) world->closing(descriptor);
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    orphans_.erase(std::remove(orphans_.begin(), orphans_.end(), descriptor), orphans_.end());
  }
  sweep();
}

bool Registry::unmapping(void* page) {
  for (const auto& world : worlds()) {
    if (world->driver().giveBackPage(page)) return true;
  }
  return false;
}

}  // namespace soft

#include "hooks/sorted_directory.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "libc/real.h"

namespace soft {
namespace {

struct Free {
  void operator()(dirent* entry) const { free(entry); }
};

struct Listing {
  std::vector<std::unique_ptr<dirent, Free>> entries;
  size_t next = 0;
};

std::mutex mutex;

// How many are open: where none is, nobody waits for the mutex.
std::atomic<int> open{0};

int compare(const dirent** one, const dirent** other) { return versionsort(one, other); }

// Never destroyed: other libraries' destructors may still read directories.
std::map<DIR*, Listing>& listings() {
  static auto* all = new std::map<DIR*, Listing>;
  return *all;
}

}  // namespace

DIR* openSorted(const char* path) {
  DIR* directory = real::opendir(path);
  if (!directory) return nullptr;
  dirent** found = nullptr;
  const int count = real::scandir(path, &found, nullptr, compare);  // uverbs10 comes after uverbs9
  if (count < 0) return directory;
  Listing listing;
  for (int i = 0; i < count; i++) listing.entries.emplace_back(found[i]);
  free(found);
  const std::lock_guard<std::mutex> guard(mutex);
  listings()[directory] = std::move(listing);
  open++;
  return directory;
}

dirent* readDirectory(DIR* directory) {
  if (open) {
    const std::lock_guard<std::mutex> guard(mutex);
    const auto found = listings().find(directory);
    if (found != listings().end()) {
      Listing& listing = found->second;
      return listing.next < listing.entries.size() ? listing.entries[listing.next++].get() : nullptr;
    }
  }
  return real::readdir(directory);
}

int closeDirectory(DIR* directory) {
  if (open) {
    const std::lock_guard<std::mutex> guard(mutex);
    open -= static_cast<int>(listings().erase(directory));
  }
  return real::closedir(directory);
}

}  // namespace soft

#include "hooks/sorted_directory.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

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

// Never destroyed: other libraries' destructors may still read directories.
std::map<DIR*, Listing>& listings() {
  static auto* all = new std::map<DIR*, Listing>;
  return *all;
}

}  // namespace

DIR* openSorted(const char* path) {
  DIR* directory = ::opendir(path);
  if (!directory) return nullptr;
  dirent** found = nullptr;
  const int count = scandir(path, &found, nullptr, versionsort);  // uverbs10 comes after uverbs9
  if (count < 0) return directory;
  Listing listing;
  for (int i = 0; i < count; i++) listing.entries.emplace_back(found[i]);
  free(found);
  const std::lock_guard<std::mutex> guard(mutex);
  listings()[directory] = std::move(listing);
  return directory;
}

dirent* readDirectory(DIR* directory) {
  {
    const std::lock_guard<std::mutex> guard(mutex);
    const auto found = listings().find(directory);
    if (found != listings().end()) {
      Listing& listing = found->second;
      return listing.next < listing.entries.size() ? listing.entries[listing.next++].get() : nullptr;
    }
  }
  return ::readdir(directory);
}

int closeDirectory(DIR* directory) {
  {
    const std::lock_guard<std::mutex> guard(mutex);
    listings().erase(directory);
  }
  return ::closedir(directory);
}

}  // namespace soft

#include "uverbs/memory_map.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <memory>

namespace soft::uverbs {
namespace {

constexpr char kMaps[] = "/proc/self/maps";

// struct procmap_query of linux/fs.h, which Debian 12's headers have not.
struct Query {
  uint64_t size, flags, address;
  uint64_t start, end, mappingFlags, pageSize, offset, inode;
  uint32_t deviceMajor, deviceMinor, nameSize, buildIdSize;
  uint64_t nameAddress, buildIdAddress;
};
static_assert(sizeof(Query) == 104, "linux/fs.h, struct procmap_query");
constexpr uint64_t kReadable = 1, kWritable = 2;  // PROCMAP_QUERY_VMA_READABLE, …_WRITABLE

}  // namespace

Mapped mappedByQuery(uint64_t start, uint64_t end, bool writable) {
  // Opened each time: after fork(2) a descriptor would go on telling of the parent.
  const int maps = open(kMaps, O_RDONLY | O_CLOEXEC);
  if (maps < 0) return Mapped::unknown;
  const uint64_t wanted = writable ? kWritable : kReadable;
  Mapped answer = Mapped::yes;
  for (uint64_t at = start; at < end && answer == Mapped::yes;) {
    Query query{};
    query.size = sizeof query;
    query.address = at;
    if (ioctl(maps, _IOWR('f', 17, Query), &query) != 0) {
      answer = errno == ENOENT ? Mapped::no : Mapped::unknown;
    } else if ((query.mappingFlags & wanted) == 0) {
      answer = Mapped::no;
    }
    at = query.end;
  }
  close(maps);
  return answer;
}

Mapped mappedByText(uint64_t start, uint64_t end, bool writable) {
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen(kMaps, "re"), fclose);
  if (maps == nullptr) return Mapped::unknown;
  char line[512];  // a longer path comes in pieces, which begin with no range
  uint64_t from, to, at = start;
  char read, write;
  while (at < end && fgets(line, sizeof line, maps.get()) != nullptr) {
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%c", &from, &to, &read, &write) != 4 || to <= at) continue;
    if (from > at || (writable ? write != 'w' : read != 'r')) return Mapped::no;
    at = to;
  }
  return at < end ? Mapped::no : Mapped::yes;
}

Mapped mapped(uint64_t start, uint64_t end, bool writable) {
  const Mapped answer = mappedByQuery(start, end, writable);
  return answer == Mapped::unknown ? mappedByText(start, end, writable) : answer;
}

}  // namespace soft::uverbs

// The process's memory map, by both ways to read it.
#include "uverbs/memory_map.h"

#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

using namespace soft::uverbs;

namespace {

struct Range {
  size_t from, to;  // pages
  bool readable, writable;
};

// Six pages: writable, read-only, writable only, closed, none, writable.
void check(Mapped (*ask)(uint64_t, uint64_t, bool)) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, 6 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  auto* at = static_cast<uint8_t*>(memory);
  EQUAL(mprotect(at + page, page, PROT_READ), 0);
  EQUAL(mprotect(at + 2 * page, page, PROT_WRITE), 0);
  EQUAL(mprotect(at + 3 * page, page, PROT_NONE), 0);
  EQUAL(munmap(at + 4 * page, page), 0);
  const auto start = reinterpret_cast<uint64_t>(at);
  const auto answer = [&](size_t from, size_t to, bool writable) {
    return ask(start + from * page, start + to * page, writable);
  };
  if (answer(0, 1, true) == Mapped::unknown) return;  // a kernel before 6.11: the other way is used
  for (const Range& range : {Range{0, 1, true, true},
                             {0, 2, true, false},
                             {1, 2, true, false},
                             {2, 3, false, true},
                             {0, 3, false, false},
                             {3, 4, false, false},
                             {4, 5, false, false},
                             {3, 6, false, false},
                             {0, 6, false, false},
                             {5, 6, true, true}}) {
    EQUAL(static_cast<int>(answer(range.from, range.to, false)),
          static_cast<int>(range.readable ? Mapped::yes : Mapped::no));
    EQUAL(static_cast<int>(answer(range.from, range.to, true)),
          static_cast<int>(range.writable ? Mapped::yes : Mapped::no));
  }
  EQUAL(static_cast<int>(ask(0, page, false)), static_cast<int>(Mapped::no));
  EQUAL(munmap(at, 6 * page), 0);
}

}  // namespace

TEST(the_map_by_its_query_tells_what_may_be_read_and_written) { check(mappedByQuery); }

TEST(the_map_by_its_text_tells_the_same) { check(mappedByText); }

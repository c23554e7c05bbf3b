// The order in which payload comes into the program's memory (nic/guarded.h, guardedLand): seen instruction by
// instruction, with the processor's trap flag.
#include <ucontext.h>

#include <csignal>

#include "frames.h"
#include "nic/guarded.h"

using namespace soft;

namespace {

constexpr size_t kLine = 64, kMost = 9000;

// What is where it belongs, and around it, before and behind.
struct Target {
  alignas(kLine) uint8_t bytes[kMost + 4 * kLine];
};
Target target, source, before;

// One store: the bytes that an instruction changed.
struct Store {
  size_t at, length;
};

#if defined(__x86_64__)

std::vector<Store> stores;
size_t watched = 0;  // of the target

void onTrap(int, siginfo_t*, void*) {
  const auto differs = [](size_t i) { return target.bytes[i] != before.bytes[i]; };
  // No store is larger than this, and they ascend: so each begins where the one before ended, or is found by the
  // comparison of all.
  const size_t from = stores.empty() ? 0 : stores.back().at + stores.back().length;
  size_t at = from;
  while (at < watched && at < from + 2 * kLine && !differs(at)) ++at;
  if (at == watched || at == from + 2 * kLine) return;
  size_t end = at;
  while (end < watched && differs(end)) ++end;
  stores.push_back({at, end - at});
}

// Lands `length` bytes at `offset` and returns the stores that it took. Every byte differs from what was there.
std::vector<Store> land(size_t offset, size_t length, bool (*copy)(void*, const void*, size_t)) {
  for (size_t i = 0; i < sizeof target.bytes; ++i) {
    source.bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
    target.bytes[i] = before.bytes[i] = 0;
  }
  for (size_t i = 0; i < length; ++i) before.bytes[offset + i] = target.bytes[offset + i] = source.bytes[i] ^ 0xff;
  watched = offset + length;
  stores.clear();
  stores.reserve(2 * length + 16);
  struct sigaction action{};
  struct sigaction old{};
  action.sa_sigaction = onTrap;
  action.sa_flags = SA_SIGINFO;
  EQUAL(sigaction(SIGTRAP, &action, &old), 0);
  // The red zone of this function is the compiler's.
  asm volatile("lea -128(%%rsp), %%rsp\npushfq\norl $0x100, (%%rsp)\npopfq\nlea 128(%%rsp), %%rsp" ::: "memory", "cc");
  const bool landed = copy(target.bytes + offset, source.bytes, length);
  asm volatile("lea -128(%%rsp), %%rsp\npushfq\nandl $~0x100, (%%rsp)\npopfq\nlea 128(%%rsp), %%rsp" ::
                   : "memory", "cc");
  EQUAL(sigaction(SIGTRAP, &old, nullptr), 0);
  CHECK(landed);
  BYTES(target.bytes + offset, source.bytes, length);
  return stores;
}

#endif

}  // namespace

TEST(payload_is_the_same_at_its_target_and_nothing_around_it_changes) {
  for (size_t i = 0; i < sizeof source.bytes; ++i) source.bytes[i] = static_cast<uint8_t>(1 + i % 255);
  for (size_t length = 0; length <= 700; length += length < 300 ? 1 : 37) {
    for (size_t offset = kLine; offset < 2 * kLine; ++offset) {
      std::fill_n(target.bytes, sizeof target.bytes, uint8_t{0});
      CHECK(guardedLand(target.bytes + offset, source.bytes + length % 5, length));
      BYTES(target.bytes + offset, source.bytes + length % 5, length);
      EQUAL(std::count(target.bytes, target.bytes + offset, 0), offset);
      EQUAL(std::count(target.bytes + offset + length, target.bytes + offset + length + kLine, 0), kLine);
    }
  }
}

#if defined(__x86_64__)
TEST(payload_is_stored_in_ascending_order_and_no_store_straddles_a_line) {
  // The watcher sees such a store.
  const auto backwards = [](void* to, const void* from, size_t length) {
    for (size_t i = length; i-- != 0;)
      static_cast<volatile uint8_t*>(to)[i] = static_cast<const volatile uint8_t*>(from)[i];
    return true;
  };
  CHECK(land(0, 8, backwards).front().at != 0);
  size_t wide = 0;
  for (const size_t length : {1, 2, 3, 7, 8, 15, 16, 31, 60, 63, 64, 65, 127, 128, 319, 1500, 4096, 4999}) {
    for (size_t offset = 0; offset < kLine; offset += length > 1024 ? 21 : length > 64 ? 5 : 1) {
      const size_t last = (offset + length - 1) / kLine * kLine;
      size_t next = offset;
      for (const Store& store : land(offset, length, guardedLand)) {
        EQUAL(store.at, next);
        next += store.length;
        EQUAL(store.at / kLine, (next - 1) / kLine);
        // Seen whole: its size is a power of two, and it lies at a multiple of that.
        if (store.at >= last) {
          CHECK(store.length <= 16 && (store.length & (store.length - 1)) == 0 && store.at % store.length == 0);
        }
        wide = std::max(wide, store.length);
      }
      EQUAL(next, offset + length);
    }
  }
  CHECK(wide >= 16);
}
#endif

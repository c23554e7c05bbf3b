// Every access of the NIC to the program's memory: payload, WQEs, doorbell records, CQEs. A card goes on with the pages
// that it pinned; here the program may have unmapped them, protected them or truncated the file behind them meanwhile,
// and the processor faults. These few leaf routines are the only ones that touch such memory. Their faulting
// instructions are in a table, as the kernel's are that touch user memory: the signal handler (fault_handler.h) finds
// the instruction there and goes on behind it, where the routine returns that it failed. While nothing faults that
// costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "written for x86-64 and arm64"
#endif

namespace soft {

// One entry: instructions from `begin` up to `end` may fault, and then `fixup` is where to go on. Offsets from the
// fields themselves, so that the table needs no relocation.
struct GuardedRange {
  int32_t begin, end, fixup;
};

// Labels 1 to 2 may fault; 3 is behind them both when it did and, by the jump that precedes the fixup, when it did not.
// clang-format off: a line of assembly is a line here.
#define SOFT_GUARDED_RANGE(fixup)              \
  ".pushsection soft_guarded, \"a?\"\n"        \
  ".balign 4\n"                                \
  ".long 1b - ., 2b - ., " fixup " - .\n"      \
  ".popsection\n"

#if defined(__x86_64__)
#define SOFT_GUARDED_FIXUP                     \
  ".pushsection .text.soft_fixup, \"ax?\"\n"    \
  "3: movl $0, %k[ok]\n"                       \
  "jmp 2b\n"                                   \
  ".popsection\n" SOFT_GUARDED_RANGE("3b")
#else
#define SOFT_GUARDED_FIXUP                     \
  ".pushsection .text.soft_fixup, \"ax?\"\n"    \
  "3: mov %w[ok], #0\n"                        \
  "b 2b\n"                                     \
  ".popsection\n" SOFT_GUARDED_RANGE("3b")
#endif
// clang-format on

// Where a routine gives nothing back but whether it could, the fixup is a label of C++ (as in the kernel's
// unsafe_put_user()): then there is no flag to set and to ask while nothing faults.
#define SOFT_GUARDED_GOTO SOFT_GUARDED_RANGE("%l[fault]")

// Copies `length` bytes to or from the program's memory. False when some of it is not there: then part of it may be
// written.
extern "C" __attribute__((visibility("hidden"))) uint32_t soft_guarded_copy(void* to, const void* from, size_t length);

// The same where the program watches: payload on its way to memory that it may poll. It is stored in ascending address
// order, its last cache line last and released behind everything before it.
extern "C" __attribute__((visibility("hidden"))) uint32_t soft_guarded_land(void* to, const void* from, size_t length);

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_loadN(const void* address, size_t length);
extern "C" void __asan_storeN(const void* address, size_t length);
inline void checkLoad(const void* from, size_t length) { __asan_loadN(from, length); }
inline void checkStore(const void* to, size_t length) { __asan_storeN(to, length); }
#else
inline void checkLoad(const void*, size_t) {}
inline void checkStore(const void*, size_t) {}
#endif

[[nodiscard]] inline bool guardedCopy(void* to, const void* from, size_t length) {
  checkLoad(from, length);
  checkStore(to, length);
  return soft_guarded_copy(to, from, length) != 0;
}

// The one way for payload into the program's memory: RDMA writes, messages, read responses, atomic results, frames.
//
// Programs poll the last byte of what a peer writes, and take all of it for there when that byte has changed. A card's
// PCI Express writes do that in practice: they are in ascending order, a cache line each. memcpy(3) does not: it may
// begin at the end, `rep movsb` stores in any order (Intel SDM 3A, 9.2.4), and a store that straddles two lines is two,
// of which the higher may be seen first. So:
// - stores ascend, and none straddles a cache line;
// - the last line comes behind all others, in stores that are seen whole: aligned to their size, of 16 bytes only where
//   the processor promises that (with AVX: SDM 3A, 9.1.1; AMD's APM 2, 7.3.2);
// - on arm64, where stores are seen in any order, each store of the last line is a release.
// Completions are written behind it, with a release of their own (guardedHand()).
[[nodiscard]] inline bool guardedLand(void* to, const void* from, size_t length) {
  checkLoad(from, length);
  checkStore(to, length);
  return soft_guarded_land(to, from, length) != 0;
}

// A word, acquired, as it lies in memory.
[[nodiscard]] inline bool guardedLoad(const void* from, uint32_t* value) {
  checkLoad(from, sizeof *value);
  uint32_t ok = 1, word = 0;
#if defined(__x86_64__)
  asm volatile("1: movl (%[from]), %[word]\n2:\n" SOFT_GUARDED_FIXUP
               : [word] "+r"(word), [ok] "+r"(ok)
               : [from] "r"(from)
               : "memory");
#else
  asm volatile("1: ldar %w[word], [%[from]]\n2:\n" SOFT_GUARDED_FIXUP
               : [word] "+r"(word), [ok] "+r"(ok)
               : [from] "r"(from)
               : "memory");
#endif
  *value = word;
  return ok != 0;
}

[[nodiscard]] inline bool guardedStore(void* to, uint32_t value) {
  checkStore(to, sizeof value);
#if defined(__x86_64__)
  asm goto("1: movl %[value], (%[to])\n2:\n" SOFT_GUARDED_GOTO : : [to] "r"(to), [value] "r"(value) : "memory" : fault);
#else
  asm goto("1: stlr %w[value], [%[to]]\n2:\n" SOFT_GUARDED_GOTO
           :
           : [to] "r"(to), [value] "r"(value)
           : "memory"
           : fault);
#endif
  return true;
fault:
  return false;
}

// One unit of a send ring: 64 bytes.
[[nodiscard]] inline bool guardedCopy64(void* to, const void* from) {
  checkLoad(from, 64);
#if defined(__x86_64__)
  asm goto(
      "1: movups (%[from]), %%xmm0\nmovups 16(%[from]), %%xmm1\nmovups 32(%[from]), %%xmm2\nmovups 48(%[from]), %%xmm3\n"
      "movups %%xmm0, (%[to])\nmovups %%xmm1, 16(%[to])\nmovups %%xmm2, 32(%[to])\nmovups %%xmm3, 48(%[to])\n"
      "2:\n" SOFT_GUARDED_GOTO
      :
      : [to] "r"(to), [from] "r"(from)
      : "memory", "xmm0", "xmm1", "xmm2", "xmm3"
      : fault);
#else
  asm goto(
      "1: ldp q0, q1, [%[from]]\nldp q2, q3, [%[from], #32]\nstp q0, q1, [%[to]]\nstp q2, q3, [%[to], #32]\n"
      "2:\n" SOFT_GUARDED_GOTO
      :
      : [to] "r"(to), [from] "r"(from)
      : "memory", "v0", "v1", "v2", "v3"
      : fault);
#endif
  return true;
fault:
  return false;
}

// One element of a scatter list: 16 bytes, as two words in registers. By way of memory they would have to be read back
// in pieces.
[[nodiscard]] inline bool guardedLoad16(const void* from, uint64_t* low, uint64_t* high) {
  checkLoad(from, 16);
  uint32_t ok = 1;
  uint64_t first, second;
  const auto& bytes = *static_cast<const uint8_t (*)[16]>(from);
#if defined(__x86_64__)
  asm volatile("1: movq (%[from]), %[first]\nmovq 8(%[from]), %[second]\n2:\n" SOFT_GUARDED_FIXUP
               : [first] "=&r"(first), [second] "=&r"(second), [ok] "+r"(ok)
               : [from] "r"(from), "m"(bytes));
#else
  asm volatile("1: ldp %[first], %[second], [%[from]]\n2:\n" SOFT_GUARDED_FIXUP
               : [first] "=&r"(first), [second] "=&r"(second), [ok] "+r"(ok)
               : [from] "r"(from), "m"(bytes));
#endif
  *low = first;
  *high = second;
  return ok != 0;
}

// A CQE: eight words in the order in which they lie, the last one released behind the others.
[[nodiscard]] inline bool guardedHand(uint8_t* entry, const uint64_t (&words)[8]) {
  checkStore(entry, 64);
#if defined(__x86_64__)
  asm goto(
      "1: movq %[w0], (%[to])\nmovq %[w1], 8(%[to])\nmovq %[w2], 16(%[to])\nmovq %[w3], 24(%[to])\n"
      "movq %[w4], 32(%[to])\nmovq %[w5], 40(%[to])\nmovq %[w6], 48(%[to])\nmovq %[w7], 56(%[to])\n"
      "2:\n" SOFT_GUARDED_GOTO
      :
      : [to] "r"(entry), [w0] "r"(words[0]), [w1] "r"(words[1]), [w2] "r"(words[2]), [w3] "r"(words[3]),
        [w4] "r"(words[4]), [w5] "r"(words[5]), [w6] "r"(words[6]), [w7] "r"(words[7])
      : "memory"
      : fault);
#else
  asm goto(
      "1: stp %[w0], %[w1], [%[to]]\nstp %[w2], %[w3], [%[to], #16]\nstp %[w4], %[w5], [%[to], #32]\n"
      "str %[w6], [%[to], #48]\nstlr %[w7], [%[last]]\n"
      "2:\n" SOFT_GUARDED_GOTO
      :
      : [to] "r"(entry), [last] "r"(entry + 56), [w0] "r"(words[0]), [w1] "r"(words[1]), [w2] "r"(words[2]),
        [w3] "r"(words[3]), [w4] "r"(words[4]), [w5] "r"(words[5]), [w6] "r"(words[6]), [w7] "r"(words[7])
      : "memory"
      : fault);
#endif
  return true;
fault:
  return false;
}

// The two atomic operations; `original` is what was there.
[[nodiscard]] inline bool guardedCompareSwap(uint64_t* at, uint64_t compare, uint64_t swap, uint64_t* original) {
  checkStore(at, sizeof *at);
  uint32_t ok = 1;
  uint64_t found = compare;
#if defined(__x86_64__)
  asm volatile("1: lock cmpxchgq %[swap], (%[at])\n2:\n" SOFT_GUARDED_FIXUP
               : [found] "+a"(found), [ok] "+r"(ok)
               : [at] "r"(at), [swap] "r"(swap)
               : "memory", "cc");
#else
  uint32_t failed;
  asm volatile(
      "1: ldaxr %[found], [%[at]]\ncmp %[found], %[compare]\nb.ne 4f\nstlxr %w[failed], %[swap], [%[at]]\n"
      "cbnz %w[failed], 1b\n4: dmb ish\n2:\n" SOFT_GUARDED_FIXUP
      : [found] "+&r"(found), [ok] "+&r"(ok), [failed] "=&r"(failed)
      : [at] "r"(at), [compare] "r"(compare), [swap] "r"(swap)
      : "memory", "cc");
#endif
  *original = found;
  return ok != 0;
}

[[nodiscard]] inline bool guardedFetchAdd(uint64_t* at, uint64_t add, uint64_t* original) {
  checkStore(at, sizeof *at);
  uint32_t ok = 1;
  uint64_t found = add;
#if defined(__x86_64__)
  asm volatile("1: lock xaddq %[found], (%[at])\n2:\n" SOFT_GUARDED_FIXUP
               : [found] "+r"(found), [ok] "+r"(ok)
               : [at] "r"(at)
               : "memory", "cc");
#else
  uint64_t sum;
  uint32_t failed;
  asm volatile(
      "1: ldaxr %[found], [%[at]]\nadd %[sum], %[found], %[add]\nstlxr %w[failed], %[sum], [%[at]]\ncbnz %w[failed], 1b\n"
      "dmb ish\n2:\n" SOFT_GUARDED_FIXUP
      : [found] "+&r"(found), [ok] "+&r"(ok), [sum] "=&r"(sum), [failed] "=&r"(failed)
      : [at] "r"(at), [add] "r"(add)
      : "memory", "cc");
#endif
  *original = found;
  return ok != 0;
}

}  // namespace soft

#include "ring/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "argument.h"
#include "environment.h"
#include "shared_memory.h"

namespace ring {
namespace {

// alignmentGap(bytes, alignment): how many bytes lie between the start of `bytes` and the next address that is a
// multiple of `alignment`. Addresses themselves never reach JavaScript.
Napi::Value alignmentGap(const Napi::CallbackInfo& info) {
  SharedMemory memory(info.Env(), info[0], "bytes");
  const uint32_t alignment = argument::uint32(info, 1, "alignment");
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    throwArgumentRange(info.Env(), "alignment", "a power of two");
  }
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return Napi::Number::New(info.Env(), static_cast<double>((alignment - address % alignment) % alignment));
}

// useHugePages(bytes): asks for transparent huge pages (madvise(2), MADV_HUGEPAGE) and faults the memory in. Afterwards
// it is zero: pages that are present already would stay small, as in memory that malloc(3) used before, so
// MADV_DONTNEED drops them first and the next access finds zeros. A kernel without huge pages (EINVAL) uses small ones,
// as any kernel may: hugePageBytes tells.
void useHugePages(const Napi::CallbackInfo& info) {
  SharedMemory memory(info.Env(), info[0], "bytes");
  if (!memory.aligned(static_cast<size_t>(sysconf(_SC_PAGESIZE)))) {
    throwArgumentRange(info.Env(), "bytes", "page-aligned");
  }
  for (const int advice : {MADV_HUGEPAGE, MADV_DONTNEED}) {
    if (madvise(memory.data(), memory.length(), advice) && !(advice == MADV_HUGEPAGE && errno == EINVAL)) {
      throwErrno(info.Env(), errno, "madvise");
    }
  }
  volatile uint8_t* bytes = memory.data();
  for (size_t i = 0; i < memory.length(); i += 4096) bytes[i] = 0;
}

// hugePageBytes(bytes): how many bytes of the mappings that hold `bytes` lie on huge pages now
// (AnonHugePages in /proc/self/smaps; proc(5)), at most bytes.length.
Napi::Value hugePageBytes(const Napi::CallbackInfo& info) {
  SharedMemory memory(info.Env(), info[0], "bytes");
  FILE* smaps = fopen("/proc/self/smaps", "re");
  if (!smaps) throwErrno(info.Env(), errno, "open", "/proc/self/smaps");
  const auto first = reinterpret_cast<uintptr_t>(memory.data());
  const uintptr_t last = first + memory.length();
  char line[512];
  bool inside = false;
  uint64_t total = 0;
  while (fgets(line, sizeof line, smaps)) {
    uintptr_t from, to;
    uint64_t kilobytes;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      inside = from < last && to > first;
    } else if (inside && sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kilobytes) == 1) {
      total += kilobytes * 1024;
    }
  }
  fclose(smaps);
  return Napi::Number::New(info.Env(), static_cast<double>(std::min<uint64_t>(total, memory.length())));
}

}  // namespace

void initializeArena(Napi::Env env, Napi::Object exports) {
  exports.Set("pageSize", Napi::Number::New(env, static_cast<double>(sysconf(_SC_PAGESIZE))));
  exports.Set("alignmentGap", Napi::Function::New(env, alignmentGap, "alignmentGap"));
  exports.Set("useHugePages", Napi::Function::New(env, useHugePages, "useHugePages"));
  exports.Set("hugePageBytes", Napi::Function::New(env, hugePageBytes, "hugePageBytes"));
}

}  // namespace ring

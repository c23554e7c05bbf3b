// Memory that disappears: unmapped, protected, a truncated file.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

enum class Way { unmap, protect, truncate };
constexpr Way kWays[] = {Way::unmap, Way::protect, Way::truncate};

// Two pages of a memfd, of which the second disappears, or both.
struct Pages {
  Pages() {
    descriptor = memfd_create("pages", MFD_CLOEXEC);
    CHECK(descriptor >= 0 && ftruncate(descriptor, kSize) == 0);
    void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    CHECK(memory != MAP_FAILED);
    at = static_cast<uint8_t*>(memory);
  }
  ~Pages() {
    munmap(at, kSize);
    close(descriptor);
  }
  void take(Way way, size_t from = 0) {
    switch (way) {
      case Way::unmap: EQUAL(munmap(at + from, kSize - from), 0); return;
      case Way::protect: EQUAL(mprotect(at + from, kSize - from, PROT_NONE), 0); return;
      case Way::truncate: EQUAL(ftruncate(descriptor, static_cast<off_t>(from)), 0); return;
    }
  }
  static constexpr size_t kPage = 4096, kSize = 2 * kPage;
  int descriptor;
  uint8_t* at;
};

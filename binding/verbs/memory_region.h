#pragma once

#include "shared_memory.h"
#include "verbs/protection_domain.h"

namespace verbs {

// A registered range of a SharedArrayBuffer. It holds the buffer, so that the memory stays when JavaScript drops it.
class MemoryRegion : public Handle {
 public:
  static constexpr Kind kKind = Kind::MemoryRegion;

  MemoryRegion(ProtectionDomain& domain, ibv_mr* ibv, SharedMemory memory, int access)
      : Handle(kKind, {&domain}), domain(domain), ibv(ibv), memory(std::move(memory)), access(access) {}

  int release(const char** syscall) override {
    *syscall = "ibv_dereg_mr";
    const int error = ibv_dereg_mr(ibv);
    if (!error) memory.release();
    return error;
  }

  // Whether [offset, offset + length) lies inside; no sum here can wrap.
  bool contains(uint64_t offset, uint64_t length) const {
    return offset <= memory.length() && length <= memory.length() - offset;
  }

  ProtectionDomain& domain;
  ibv_mr* const ibv;
  SharedMemory memory;
  const int access;  // ibv_access_flags
};

}  // namespace verbs

// Memory of JavaScript's in which libmlx5 puts an object's rings and doorbell records, instead of memory of its own:
// the allocator of a parent domain (ibv_alloc_parent_domain(3)). So JavaScript sees them as a SharedArrayBuffer, and
// nothing need be detached when the object is gone.
#pragma once

#include "mlx5/libmlx5.h"
#include "shared_memory.h"

namespace mlx5 {

class RingMemory {
 public:
  // `memory` is page-aligned. Each allocation has whole pages of its own.
  explicit RingMemory(SharedMemory memory) : memory_(std::move(memory)) {}
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;

  // Makes the parent domain, with a thread domain if the object is to have a register of its own. 0 or an errno.
  int open(ibv_pd* domain, bool ownRegister, const char** syscall);
  // After the object is destroyed. 0 or an errno.
  int close(const char** syscall);

  ibv_pd* domain() const { return parent_; }
  // Bytes that libmlx5 asked for, when the memory was too small for them; otherwise 0.
  size_t lacking() const { return lacking_; }
  // Where a ring lies: bytes from the memory's start. −1 when it lies elsewhere.
  int64_t offsetOf(const void* at, size_t size) const;

 private:
  static void* allocate(ibv_pd* domain, void* self, size_t size, size_t alignment, uint64_t type);
  static void free(ibv_pd* domain, void* self, void* memory, uint64_t type);

  SharedMemory memory_;
  size_t used_ = 0;
  size_t lacking_ = 0;
  ibv_td* thread_ = nullptr;
  ibv_pd* parent_ = nullptr;
};

// What a call that creates an object returns when its memory is too small: { handle: 0, lacking }.
Napi::Value lacking(Napi::Env env, const RingMemory& memory);

}  // namespace mlx5

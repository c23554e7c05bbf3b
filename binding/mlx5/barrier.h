// Barriers between memory that a device reads and its registers, as rdma-core's util/udma_barrier.h has them.
#pragma once

#include <cstdint>

namespace mlx5 {

// What was written to memory before is there before what is written to memory after (udma_to_device_barrier).
inline void memoryBeforeMemory() {
#if defined(__x86_64__)
  asm volatile("" ::: "memory");  // stores to write-back memory stay in order
#elif defined(__aarch64__)
  asm volatile("dmb oshst" ::: "memory");
#else
#error "no barriers for this processor"
#endif
}

// Before and after a store to a write-combining register: memory is there before it, and it leaves the processor's
// buffer now (mmio_wc_start, mmio_flush_writes).
inline void registerBarrier() {
#if defined(__x86_64__)
  asm volatile("sfence" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("dsb st" ::: "memory");
#endif
}

// One 64-bit store to a device's register.
inline void writeRegister(void* to, uint64_t bigEndian) { *static_cast<volatile uint64_t*>(to) = bigEndian; }

}  // namespace mlx5

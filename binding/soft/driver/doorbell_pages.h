// The pages of user access registers (UAR) that contexts map, as ordinary memory. To a NIC that is awake a write there
// is a hint at who rang (nic/doorbell_registers.h); the doorbell records decide. With userfaultfd(2) write protection
// the first doorbell to a sleeping NIC faults, which wakes it; while it is awake a doorbell is a plain store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace soft {

class DoorbellPages {
 public:
  DoorbellPages() = default;
  ~DoorbellPages() { close(); }
  DoorbellPages(const DoorbellPages&) = delete;
  DoorbellPages& operator=(const DoorbellPages&) = delete;

  // Reserves the pages. An errno or 0; where userfaultfd is not allowed it is 0 as well and `canWake` is false.
  int open();
  void close();

  // One page for a context's mmap; null when all are in use.
  void* take();
  // Whether `page` was one of ours; then it is free again.
  bool giveBack(void* page);

  // Whether userfaultfd(2) is allowed here.
  static bool allowed();

  bool canWake() const { return descriptor_ >= 0; }
  // Becomes readable when somebody writes to a protected page.
  int descriptor() const { return descriptor_; }

  // From now on a doorbell wakes: false when it could not be done.
  bool protect() { return change(true); }
  // The doorbells that waited go on.
  void unprotect();

 private:
  bool change(bool protect);

  static constexpr size_t kPages = 1024;
  uint8_t* memory_ = nullptr;
  size_t pageSize_ = 0;
  size_t used_ = 0;  // pages from here on were never taken
  std::vector<size_t> free_;
  int descriptor_ = -1;
};

}  // namespace soft

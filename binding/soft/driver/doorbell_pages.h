// The pages of user access registers (UAR) that contexts map, as ordinary memory. To a NIC that is awake a write there
// is a hint at who rang (nic/doorbell_registers.h); the doorbell records decide. With userfaultfd(2) write protection
// the first doorbell to a sleeping NIC faults, which wakes it; while it is awake a doorbell is a plain store, but on
// pages that are held (held_stores.h).
#pragma once

#include <sys/types.h>

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

  // A thread that waits in the fault of its store to a protected page.
  struct Fault {
    uint8_t* address;  // the register's, or where the kernel does not say it (before Linux 5.18) the page's
    size_t size;       // 1 or the page's
    pid_t thread;      // 0: not known
  };
  // The next one that nobody has taken: false when there is none.
  bool next(Fault* fault);

  // From now on a doorbell wakes: false when it could not be done.
  bool protect();
  // The doorbells that waited go on, but those on held pages.
  void unprotect();

  // Held pages stay protected while the NIC is awake. False when `bell` is on no page of ours.
  bool hold(const void* bell);
  void letGo(const void* page);
  void letAllGo();
  bool held(const void* page) const { return contains(page) && held_[indexOf(page)]; }
  size_t heldCount() const { return heldCount_; }
  uint8_t* pageOf(const void* address) const { return memory_ + indexOf(address) * pageSize_; }
  size_t pageSize() const { return pageSize_; }
  // Whoever waits in a fault of that page tries again.
  void wake(const void* page);
  // One page: protected, or open, and then whoever waits there goes on.
  bool change(void* page, bool protect) { return change(static_cast<uint8_t*>(page), pageSize_, protect); }

 private:
  bool change(uint8_t* from, size_t length, bool protect);
  bool contains(const void* address) const {
    const auto* at = static_cast<const uint8_t*>(address);
    return memory_ != nullptr && at >= memory_ && at < memory_ + used_ * pageSize_;
  }
  size_t indexOf(const void* address) const {
    return static_cast<size_t>(static_cast<const uint8_t*>(address) - memory_) / pageSize_;
  }

  static constexpr size_t kPages = 1024;
  uint8_t* memory_ = nullptr;
  size_t pageSize_ = 0;
  size_t used_ = 0;  // pages from here on were never taken
  std::vector<size_t> free_;
  std::vector<bool> held_;
  size_t heldCount_ = 0;
  bool exact_ = false;  // the kernel says which address it was
  int descriptor_ = -1;
};

}  // namespace soft

#include "driver/doorbell_pages.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1  // Linux 5.11: needs no privilege, and faults of the kernel's own are left alone
#endif
#ifndef UFFD_FEATURE_EXACT_ADDRESS
#define UFFD_FEATURE_EXACT_ADDRESS (1 << 11)  // Linux 5.18
#endif

namespace soft {

namespace {

// As much as this kernel has.
bool begin(int descriptor, bool* exact) {
  constexpr uint64_t kLeast = UFFD_FEATURE_PAGEFAULT_FLAG_WP, kThread = kLeast | UFFD_FEATURE_THREAD_ID;
  for (const uint64_t features : {kThread | UFFD_FEATURE_EXACT_ADDRESS, kThread, kLeast}) {
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = features;
    if (ioctl(descriptor, UFFDIO_API, &api) != 0) continue;
    *exact = (features & UFFD_FEATURE_EXACT_ADDRESS) != 0;
    return true;
  }
  return false;
}

}  // namespace

int DoorbellPages::open() {
  pageSize_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, kPages * pageSize_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errno;
  memory_ = static_cast<uint8_t*>(memory);
  madvise(memory_, kPages * pageSize_, MADV_NOHUGEPAGE);  // protection is by the page; a kernel without THP says EINVAL

  descriptor_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  if (descriptor_ < 0) return 0;
  uffdio_register range{};
  range.range.start = reinterpret_cast<uint64_t>(memory_);
  range.range.len = kPages * pageSize_;
  range.mode = UFFDIO_REGISTER_MODE_WP;
  if (!begin(descriptor_, &exact_) || ioctl(descriptor_, UFFDIO_REGISTER, &range)) {
    ::close(descriptor_);
    descriptor_ = -1;
  }
  return 0;
}

bool DoorbellPages::allowed() {
  DoorbellPages pages;
  return pages.open() == 0 && pages.canWake();
}

void DoorbellPages::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (memory_) munmap(memory_, kPages * pageSize_);
  descriptor_ = -1;
  memory_ = nullptr;
  used_ = heldCount_ = 0;
  free_.clear();
  held_.clear();
}

void* DoorbellPages::take() {
  size_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (memory_ && used_ < kPages) {
    index = used_++;
    held_.push_back(false);
    // A page that is not there yet cannot be protected. One that was given back may be protected right now: writing to
    // it here would wait for the driver's thread, which may be waiting for us.
    *reinterpret_cast<volatile uint8_t*>(memory_ + index * pageSize_) = 0;
  } else {
    return nullptr;
  }
  return memory_ + index * pageSize_;
}

bool DoorbellPages::giveBack(void* page) {
  auto* address = static_cast<uint8_t*>(page);
  if (!memory_ || address < memory_ || address >= memory_ + kPages * pageSize_) return false;
  letGo(page);
  free_.push_back(indexOf(page));
  return true;
}

bool DoorbellPages::hold(const void* bell) {
  if (descriptor_ < 0 || !contains(bell)) return false;
  const size_t index = indexOf(bell);
  if (!held_[index]) ++heldCount_;
  held_[index] = true;
  return change(pageOf(bell), true);
}

void DoorbellPages::letGo(const void* page) {
  if (!held(page)) return;
  held_[indexOf(page)] = false;
  --heldCount_;
  change(pageOf(page), false);
}

void DoorbellPages::wake(const void* page) {
  uffdio_range range{};
  range.start = reinterpret_cast<uint64_t>(page);
  range.len = pageSize_;
  ioctl(descriptor_, UFFDIO_WAKE, &range);
}

void DoorbellPages::letAllGo() {
  for (size_t i = 0; heldCount_ != 0 && i < used_; ++i) letGo(memory_ + i * pageSize_);
}

bool DoorbellPages::next(Fault* fault) {
  uffd_msg message;
  while (descriptor_ >= 0 && read(descriptor_, &message, sizeof message) == sizeof message) {
    if (message.event != UFFD_EVENT_PAGEFAULT) continue;
    fault->address = reinterpret_cast<uint8_t*>(message.arg.pagefault.address);
    fault->size = exact_ ? 1 : pageSize_;
    fault->thread = static_cast<pid_t>(message.arg.pagefault.feat.ptid);
    return true;
  }
  return false;
}

bool DoorbellPages::protect() { return descriptor_ >= 0 && (used_ == 0 || change(memory_, used_ * pageSize_, true)); }

bool DoorbellPages::change(uint8_t* from, size_t length, bool protect) {
  if (descriptor_ < 0) return false;
  uffdio_writeprotect range{};
  range.range.start = reinterpret_cast<uint64_t>(from);
  range.range.len = length;
  range.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
  return ioctl(descriptor_, UFFDIO_WRITEPROTECT, &range) == 0;
}

void DoorbellPages::unprotect() {
  // Opening a page wakes whoever waits in a fault there.
  if (heldCount_ == 0) {
    Fault fault;
    while (next(&fault)) continue;
    if (used_ != 0) change(memory_, used_ * pageSize_, false);
    return;
  }
  for (size_t i = 0; i < used_; ++i) {
    if (!held_[i]) change(memory_ + i * pageSize_, pageSize_, false);
  }
}

}  // namespace soft

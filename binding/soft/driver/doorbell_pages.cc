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

namespace soft {

int DoorbellPages::open() {
  pageSize_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, kPages * pageSize_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errno;
  memory_ = static_cast<uint8_t*>(memory);
  madvise(memory_, kPages * pageSize_, MADV_NOHUGEPAGE);  // protection is by the page; a kernel without THP says EINVAL

  descriptor_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
  if (descriptor_ < 0) return 0;
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
  uffdio_register range{};
  range.range.start = reinterpret_cast<uint64_t>(memory_);
  range.range.len = kPages * pageSize_;
  range.mode = UFFDIO_REGISTER_MODE_WP;
  if (ioctl(descriptor_, UFFDIO_API, &api) || ioctl(descriptor_, UFFDIO_REGISTER, &range)) {
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
  used_ = 0;
  free_.clear();
}

void* DoorbellPages::take() {
  size_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (memory_ && used_ < kPages) {
    index = used_++;
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
  free_.push_back(static_cast<size_t>(address - memory_) / pageSize_);
  return true;
}

bool DoorbellPages::change(bool protect) {
  if (descriptor_ < 0) return false;
  if (used_ == 0) return true;
  uffdio_writeprotect range{};
  range.range.start = reinterpret_cast<uint64_t>(memory_);
  range.range.len = used_ * pageSize_;
  range.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
  return ioctl(descriptor_, UFFDIO_WRITEPROTECT, &range) == 0;
}

void DoorbellPages::unprotect() {
  uffd_msg message;
  while (descriptor_ >= 0 && read(descriptor_, &message, sizeof message) == sizeof message) continue;
  change(false);  // wakes whoever waits in a fault, too
}

}  // namespace soft

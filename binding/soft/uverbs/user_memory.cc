#include "uverbs/user_memory.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif

namespace soft::uverbs {
namespace {

using Transfer = ssize_t (*)(pid_t, const iovec*, unsigned long, const iovec*, unsigned long, unsigned long);

int transfer(Transfer call, void* local, uint64_t remote, size_t length) {
  if (length == 0) return 0;
  const iovec mine{local, length}, theirs{reinterpret_cast<void*>(remote), length};
  const ssize_t moved = call(getpid(), &mine, 1, &theirs, 1, 0);
  if (moved == static_cast<ssize_t>(length)) return 0;
  // A sandbox that forbids the call: the address is then taken on trust.
  if (moved < 0 && (errno == ENOSYS || errno == EPERM)) return -1;
  return EFAULT;
}

}  // namespace

int copyFromUser(void* to, uint64_t from, size_t length) {
  const int error = transfer(process_vm_readv, to, from, length);
  if (error >= 0) return error;
  memcpy(to, reinterpret_cast<const void*>(from), length);
  return 0;
}

int copyToUser(uint64_t to, const void* from, size_t length) {
  const int error = transfer(process_vm_writev, const_cast<void*>(from), to, length);
  if (error >= 0) return error;
  memcpy(reinterpret_cast<void*>(to), from, length);
  return 0;
}

int populate(uint64_t address, uint64_t length, bool writable) {
  if (length == 0) return 0;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t start = address & ~(page - 1);
  const uint64_t end = (address + length + page - 1) & ~(page - 1);
  if (address + length < address || end <= start) return EINVAL;
  auto* memory = reinterpret_cast<void*>(start);
  if (madvise(memory, end - start, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0) return 0;
  if (errno != EINVAL) return EFAULT;
  // A kernel before 5.14, or a mapping that cannot be populated (a device's): mincore(2) still tells whether it is mapped.
  // Piece by piece: the length is the caller's word only.
  unsigned char pages[4096];
  for (uint64_t at = start; at < end; at += sizeof pages * page) {
    if (mincore(reinterpret_cast<void*>(at), std::min<uint64_t>(end - at, sizeof pages * page), pages)) return EFAULT;
  }
  return 0;
}

}  // namespace soft::uverbs

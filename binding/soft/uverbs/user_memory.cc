#include "uverbs/user_memory.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nic/guarded.h"
#include "uverbs/memory_map.h"

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
  // A sandbox that forbids the call.
  if (moved < 0 && (errno == ENOSYS || errno == EPERM)) return -1;
  return EFAULT;
}

}  // namespace

int copyFromUser(void* to, uint64_t from, size_t length) {
  const int error = transfer(process_vm_readv, to, from, length);
  if (error >= 0) return error;
  return guardedCopy(to, reinterpret_cast<const void*>(from), length) ? 0 : EFAULT;
}

int copyToUser(uint64_t to, const void* from, size_t length) {
  const int error = transfer(process_vm_writev, const_cast<void*>(from), to, length);
  if (error >= 0) return error;
  return guardedCopy(reinterpret_cast<void*>(to), from, length) ? 0 : EFAULT;
}

int populate(uint64_t address, uint64_t length, bool writable) {
  if (length == 0) return 0;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t start = address & ~(page - 1);
  const uint64_t end = (address + length + page - 1) & ~(page - 1);
  if (address + length < address || end <= start) return EINVAL;
  if (mapped(start, end, writable) == Mapped::no) return EFAULT;
  // As pinning would, it also makes the pages be there; a file that is shorter than its mapping has none to give.
  // EINVAL is a kernel before 5.14, or a mapping that cannot be populated (a device's).
  auto* memory = reinterpret_cast<void*>(start);
  const int advice = writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
  return madvise(memory, end - start, advice) == 0 || errno == EINVAL ? 0 : EFAULT;
}

}  // namespace soft::uverbs

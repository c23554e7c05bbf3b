// The caller's memory, looked at as a kernel does: an address that is not mapped is an errno and never a fault.
#pragma once

#include <cstddef>
#include <cstdint>

namespace soft::uverbs {

// 0 or EFAULT.
int copyFromUser(void* to, uint64_t from, size_t length);
int copyToUser(uint64_t to, const void* from, size_t length);

// What ib_umem_get (drivers/infiniband/core/umem.c) makes sure of: the whole range is mapped, its pages are there, and
// they are writable if the device is to write. 0, EFAULT, or EINVAL for a range that wraps around.
int populate(uint64_t address, uint64_t length, bool writable);

}  // namespace soft::uverbs

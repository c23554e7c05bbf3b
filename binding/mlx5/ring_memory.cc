#include "mlx5/ring_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mlx5 {
namespace {

size_t pages(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

}  // namespace

int RingMemory::open(ibv_pd* domain, bool ownRegister, const char** syscall) {
  // A forked child must not take the pages along: whoever wrote to them first would write to a copy, and the device
  // would go on with the other (ibv_fork_init(3); libmlx5 does so for memory of its own alone).
  *syscall = "madvise";
  if (madvise(memory_.data(), pages(memory_.length()), MADV_DONTFORK)) return errno;
  if (ownRegister) {
    *syscall = "ibv_alloc_td";
    ibv_td_init_attr attributes{};
    thread_ = ibv_alloc_td(domain->context, &attributes);
    if (!thread_) return errno;
  }
  *syscall = "ibv_alloc_parent_domain";
  ibv_parent_domain_init_attr attributes{};
  attributes.pd = domain;
  attributes.td = thread_;
  attributes.comp_mask = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT;
  attributes.alloc = allocate;
  attributes.free = free;
  attributes.pd_context = this;
  parent_ = ibv_alloc_parent_domain(domain->context, &attributes);
  return parent_ ? 0 : errno;
}

int RingMemory::close(const char** syscall) {
  if (parent_) {
    *syscall = "ibv_dealloc_pd";
    if (const int error = ibv_dealloc_pd(parent_)) return error;
    parent_ = nullptr;
  }
  if (thread_) {
    *syscall = "ibv_dealloc_td";
    if (const int error = ibv_dealloc_td(thread_)) return error;
    thread_ = nullptr;
  }
  madvise(memory_.data(), pages(memory_.length()), MADV_DOFORK);
  return 0;
}

int64_t RingMemory::offsetOf(const void* at, size_t size) const {
  const auto* from = static_cast<const uint8_t*>(at);
  if (from < memory_.data() || size > memory_.length()) return -1;
  const auto offset = static_cast<size_t>(from - memory_.data());
  return offset <= memory_.length() - size ? static_cast<int64_t>(offset) : -1;
}

void* RingMemory::allocate(ibv_pd*, void* self, size_t size, size_t alignment, uint64_t) {
  auto& memory = *static_cast<RingMemory*>(self);
  const size_t start = pages(memory.used_), length = pages(std::max(size, alignment));
  if (length > memory.memory_.length() || start > memory.memory_.length() - length) {
    memory.lacking_ = start + length;
    errno = ENOMEM;
    return nullptr;
  }
  memory.used_ = start + length;
  return memset(memory.memory_.data() + start, 0, length);
}

// The memory goes with the object.
void RingMemory::free(ibv_pd*, void*, void*, uint64_t) {}

Napi::Value lacking(Napi::Env env, const RingMemory& memory) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", Napi::Number::New(env, 0));
  result.Set("lacking", Napi::Number::New(env, static_cast<double>(memory.lacking())));
  return result;
}

}  // namespace mlx5

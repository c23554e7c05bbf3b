// The kernel's memory as JavaScript sees it: an external ArrayBuffer over an mmap(2).
//
// A read after munmap(2) would kill the process, so close replaces the mapping by anonymous memory, and the finalizer
// unmaps. To detach the buffer would not do: its user may have transferred it, and with it the memory. It would also
// make every access to a typed array slower, in the whole process: V8 then checks each for a detached buffer.
#pragma once

#include <napi.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ethernet {

class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;

  // Maps `length` bytes of `fd` from `offset` on. Throws the VerbsError of what failed, which names `detail`.
  void open(Napi::Env env, int fd, size_t length, off_t offset, const char* detail);
  // Replaces the kernel's memory by zeros, so that a view that is still in use reads memory.
  void close();

  bool isOpen() const { return region_ != nullptr; }
  uint8_t* data() const { return static_cast<uint8_t*>(region_->address); }
  size_t length() const { return region_->length; }
  // All of it, as a Uint32Array.
  Napi::Value words(Napi::Env env) const;

 private:
  // Shared by the mapping and the buffer: the buffer may outlive the mapping's owner (transferred by its user, say),
  // and may go before it (transferred into a smaller one).
  struct Region {
    void* address;
    size_t length;
    ~Region();
  };

  std::shared_ptr<Region> region_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

}  // namespace ethernet

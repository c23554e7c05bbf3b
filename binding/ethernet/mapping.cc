#include "ethernet/mapping.h"

#include <sys/mman.h>

#include <cerrno>

#include "error.h"

namespace ethernet {

Mapping::Region::~Region() { munmap(address, length); }

void Mapping::open(Napi::Env env, int fd, size_t length, off_t offset, const char* detail) {
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (address == MAP_FAILED) throwErrno(env, errno, "mmap", detail);
  region_ = std::shared_ptr<Region>(new Region{address, length});

  auto* share = new std::shared_ptr<Region>(region_);
  const auto finalize = [](napi_env, void*, void* owned) { delete static_cast<std::shared_ptr<Region>*>(owned); };
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, address, length, finalize, share, &buffer) != napi_ok) {
    delete share;
    region_.reset();
    throwErrno(env, EOPNOTSUPP, "napi_create_external_arraybuffer",
               "this JavaScript runtime allows no memory from outside (Electron does not)");
  }
  buffer_ = Napi::Persistent(Napi::ArrayBuffer(env, buffer));
}

void Mapping::close() {
  if (!region_) return;
  mmap(region_->address, region_->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  buffer_.Reset();
  region_.reset();
}

Napi::Value Mapping::words(Napi::Env env) const {
  return Napi::Uint32Array::New(env, region_->length / sizeof(uint32_t), buffer_.Value(), 0);
}

}  // namespace ethernet

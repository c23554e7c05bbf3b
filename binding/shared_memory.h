// Memory that JavaScript and the binding both see: always a SharedArrayBuffer, because it can be neither detached,
// transferred nor shrunk, so a pointer into it stays good for as long as it is referenced (Node 20 hands out the
// pointer only through a typed array over it).
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>

#include "error.h"

class SharedMemory {
 public:
  SharedMemory() = default;

  // `value` must be a typed array over a SharedArrayBuffer; `name` names the argument in the error.
  SharedMemory(Napi::Env env, Napi::Value value, const char* name) {
    if (!value.IsTypedArray()) throwArgumentType(env, name, "a typed array over a SharedArrayBuffer");
    napi_value buffer;
    size_t offset, count;
    napi_typedarray_type type;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, value, &type, &count, &data, &buffer, &offset) != napi_ok) {
      throwArgumentType(env, name, "a typed array over a SharedArrayBuffer");
    }
    bool detachable = true;
    napi_is_arraybuffer(env, buffer, &detachable);
    if (detachable) throwArgumentType(env, name, "a typed array over a SharedArrayBuffer");
    data_ = static_cast<uint8_t*>(data);
    length_ = count * elementSize(type);
    reference_ = Napi::Persistent(value.As<Napi::Object>());
  }

  uint8_t* data() const { return data_; }
  uint32_t* words() const { return reinterpret_cast<uint32_t*>(data_); }
  size_t length() const { return length_; }
  bool aligned(size_t to) const { return reinterpret_cast<uintptr_t>(data_) % to == 0; }
  void release() { reference_.Reset(); }

 private:
  static size_t elementSize(napi_typedarray_type type) {
    switch (type) {
      case napi_int8_array:
      case napi_uint8_array:
      case napi_uint8_clamped_array: return 1;
      case napi_int16_array:
      case napi_uint16_array: return 2;
      case napi_int32_array:
      case napi_uint32_array:
      case napi_float32_array: return 4;
      case napi_float64_array:
      case napi_bigint64_array:
      case napi_biguint64_array: return 8;
      default: return 1;  // a type newer than this header (Float16Array): never more than there is
    }
  }

  uint8_t* data_ = nullptr;
  size_t length_ = 0;
  Napi::ObjectReference reference_;
};

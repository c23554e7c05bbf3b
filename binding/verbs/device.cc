#include <endian.h>

#include <cinttypes>
#include <cstdio>

#include "environment.h"
#include "verbs/rdma_core.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

std::string formatGuid(__be64 guid) {
  const uint64_t value = be64toh(guid);
  char text[20];
  snprintf(text, sizeof text, "%04x:%04x:%04x:%04x", static_cast<unsigned>(value >> 48 & 0xffff),
           static_cast<unsigned>(value >> 32 & 0xffff), static_cast<unsigned>(value >> 16 & 0xffff),
           static_cast<unsigned>(value & 0xffff));
  return text;
}

// listDevices(): ibv_get_device_list(3)
Napi::Value listDevices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!rdma_core::unavailable().empty()) throwErrno(env, ENOSYS, "dlopen", rdma_core::unavailable());
  int count = 0;
  ibv_device** devices = ibv_get_device_list(&count);
  Napi::Array list = Napi::Array::New(env);
  if (!devices) {
    // A kernel without RDMA has no devices, which is no error.
    if (errno == ENOSYS) return list;
    throwErrno(env, errno, "ibv_get_device_list");
  }
  for (int i = 0; i < count; i++) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", ibv_get_device_name(devices[i]));
    device.Set("index", Napi::Number::New(env, ibv_get_device_index(devices[i])));
    device.Set("guid", formatGuid(ibv_get_device_guid(devices[i])));
    device.Set("nodeType", Napi::Number::New(env, devices[i]->node_type));
    device.Set("transport", Napi::Number::New(env, devices[i]->transport_type));
    list.Set(static_cast<uint32_t>(i), device);
  }
  ibv_free_device_list(devices);
  return list;
}

// libraryPath(): the file libibverbs was loaded from, or null
Napi::Value libraryPath(const Napi::CallbackInfo& info) {
  const std::string path = rdma_core::libraryPath();
  return path.empty() ? info.Env().Null() : Napi::String::New(info.Env(), path);
}

}  // namespace

void initializeDevice(Napi::Env env, Napi::Object exports) {
  exports.Set("listDevices", Napi::Function::New(env, listDevices, "listDevices"));
  exports.Set("libraryPath", Napi::Function::New(env, libraryPath, "libraryPath"));
}

}  // namespace verbs

// The addon: one flat object of functions. Handles are numbers, batches are records in shared memory.
#include <napi.h>

#include "argument.h"
#include "control/control.h"
#include "environment.h"
#include "ethernet/ethernet.h"
#include "mlx5/mlx5.h"
#include "ring/ring.h"
#include "soft/addon/soft_library.h"
#include "verbs/verbs.h"

namespace {

// Of all records that cross the boundary (binding/verbs/records.h, binding/ethernet/records.h): changes with any change
// there, and lib/native.ts refuses an addon of another version.
constexpr uint32_t kRecordVersion = 8;

// close(handle, kind): closes a handle of any kind and its descendants; false when it was closed already.
Napi::Value close(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const auto kind = static_cast<Kind>(argument::uint32(info, 1, "kind"));
  Handle* handle = environment.handles.find(argument::uint32(info, 0, "handle"), kind);
  if (!handle) return Napi::Boolean::New(info.Env(), false);
  const char* syscall = "close";
  const int error = environment.handles.close(handle, &syscall);
  if (error) throwErrno(info.Env(), error, syscall);
  return Napi::Boolean::New(info.Env(), true);
}

// isOpen(handle, kind)
Napi::Value isOpen(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const auto kind = static_cast<Kind>(argument::uint32(info, 1, "kind"));
  return Napi::Boolean::New(info.Env(), environment.handles.find(argument::uint32(info, 0, "handle"), kind) != nullptr);
}

// handleCount(): open handles in this environment; for tests that count leaks.
Napi::Value handleCount(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Environment::of(info.Env()).handles.count());
}

// setErrorConstructor(VerbsError)
void setErrorConstructor(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).errorConstructor =
      Napi::Persistent(argument::function(info.Env(), info[0], "constructor"));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  Environment::create(env);
  exports.Set("recordVersion", Napi::Number::New(env, kRecordVersion));
  exports.Set("close", Napi::Function::New(env, close, "close"));
  exports.Set("isOpen", Napi::Function::New(env, isOpen, "isOpen"));
  exports.Set("handleCount", Napi::Function::New(env, handleCount, "handleCount"));
  exports.Set("setErrorConstructor", Napi::Function::New(env, setErrorConstructor, "setErrorConstructor"));
  ring::initialize(env, exports);
  verbs::initialize(env, exports);
  ethernet::initialize(env, exports);
  mlx5::initialize(env, exports);
  control::initialize(env, exports);
  soft_library::initialize(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialize)

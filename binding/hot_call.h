// Functions of the hot path: numbers in, a number out, on plain Node-API. node-addon-api's CallbackInfo costs as much
// again as the call itself; what it gives (any number of arguments of any type) is not needed here.
#pragma once

#include <napi.h>

#include "environment.h"

namespace hot_call {

// `body(environment, numbers)` returns an int32_t and may throw Napi::Error.
template <size_t count, int32_t (*body)(Environment&, const uint32_t*)>
napi_value call(napi_env env, napi_callback_info info) {
  napi_value values[count];
  uint32_t numbers[count];
  size_t given = count;
  void* environment = nullptr;
  napi_get_cb_info(env, info, &given, values, nullptr, &environment);
  try {
    for (size_t i = 0; i < count; i++) {
      if (napi_get_value_uint32(env, values[i], &numbers[i]) != napi_ok) {
        throwArgumentType(env, "argument", "a number");
      }
    }
    napi_value result;
    napi_create_int32(env, body(*static_cast<Environment*>(environment), numbers), &result);
    return result;
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}

// exports[name] = the function, which takes `count` numbers.
template <size_t count, int32_t (*body)(Environment&, const uint32_t*)>
void define(Napi::Env env, Napi::Object exports, const char* name) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call<count, body>, &Environment::of(env), &function);
  exports.Set(name, Napi::Value(env, function));
}

}  // namespace hot_call

// Reads arguments. lib/ has checked them already, with errors in the user's words; these checks are the second line:
// whatever reaches the binding, from wherever, cannot crash the process.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "error.h"

namespace argument {

inline double number(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsNumber()) throwArgumentType(env, name, "a number");
  return value.As<Napi::Number>().DoubleValue();
}

template <typename T>
T integer(Napi::Env env, Napi::Value value, const char* name) {
  const double n = number(env, value, name);
  // 2^53 bounds what a double holds exactly; every T here is at most 64 bits wide.
  const double low = std::is_signed<T>::value ? static_cast<double>(std::numeric_limits<T>::min()) : 0;
  const double high = std::min(static_cast<double>(std::numeric_limits<T>::max()), 9007199254740991.0);
  if (!(n >= std::max(low, -9007199254740991.0) && n <= high) || n != std::floor(n)) {
    throwArgumentRange(env, name,
                       "an integer from " + std::to_string(static_cast<int64_t>(low)) + " to " +
                           std::to_string(static_cast<int64_t>(high)));
  }
  return static_cast<T>(n);
}

inline uint32_t uint32(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return integer<uint32_t>(info.Env(), info[index], name);
}

inline bool boolean(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsBoolean()) throwArgumentType(env, name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

inline std::string string(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsString()) throwArgumentType(env, name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

inline Napi::Function function(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsFunction()) throwArgumentType(env, name, "a function");
  return value.As<Napi::Function>();
}

inline Napi::Object object(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsObject()) throwArgumentType(env, name, "an object");
  return value.As<Napi::Object>();
}

// A property of an options object: `field<uint8_t>(options, "portNumber")`.
template <typename T>
T field(Napi::Object options, const char* name) {
  return integer<T>(options.Env(), options.Get(name), name);
}

}  // namespace argument

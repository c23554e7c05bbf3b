#include "error.h"

#include "environment.h"

namespace {

template <typename ErrorType>
[[noreturn]] void throwCoded(Napi::Env env, const std::string& message, const char* code) {
  ErrorType error = ErrorType::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  throw error;
}

}  // namespace

void throwErrno(Napi::Env env, int error, const char* syscall, const std::string& detail) {
  Napi::Object instance = Environment::of(env).errorConstructor.New(
      {Napi::Number::New(env, error), Napi::String::New(env, syscall), Napi::String::New(env, detail)});
  throw Napi::Error(env, instance);
}

void throwArgumentType(Napi::Env env, const char* argument, const char* expected) {
  throwCoded<Napi::TypeError>(env, std::string("\"") + argument + "\" must be " + expected, "ERR_INVALID_ARG_TYPE");
}

void throwArgumentRange(Napi::Env env, const char* argument, const std::string& expected) {
  throwCoded<Napi::RangeError>(env, std::string("\"") + argument + "\" must be " + expected, "ERR_OUT_OF_RANGE");
}

void throwClosed(Napi::Env env, const char* what) {
  throwCoded<Napi::Error>(env, std::string("the ") + what + " is closed", "ERR_IBVERBS_CLOSED");
}

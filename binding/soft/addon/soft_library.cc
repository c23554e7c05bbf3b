#include "soft/addon/soft_library.h"

#include <dlfcn.h>

#include <cerrno>
#include <string>

#include "argument.h"
#include "error.h"
#include "soft/soft.h"

namespace soft_library {
namespace {

struct Library {
  ibverbs_soft_open_t open = nullptr;
  ibverbs_soft_environment_t environment = nullptr;
  ibverbs_soft_close_t close = nullptr;
  ibverbs_soft_describe_t describe = nullptr;
  ibverbs_soft_violations_t violations = nullptr;
  ibverbs_soft_set_link_t setLink = nullptr;
} library;

const Library& loaded(Napi::Env env) {
  if (!library.open) throwErrno(env, ENOSYS, "dlopen", "libibverbs_soft.so is not loaded");
  return library;
}

// load(file): opens the shared library, once in the process; what LD_PRELOAD brought comes first
Napi::Value load(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string file = argument::string(env, info[0], "file");
  void* handle = RTLD_DEFAULT;
  if (!dlsym(handle, "ibverbs_soft_open")) handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle && !dlsym(RTLD_DEFAULT, "ibverbs_soft_open")) {
    const char* words = dlerror();
    throwErrno(env, ENOENT, "dlopen", words ? words : file);
  }
  library.open = reinterpret_cast<ibverbs_soft_open_t>(dlsym(handle, "ibverbs_soft_open"));
  library.environment = reinterpret_cast<ibverbs_soft_environment_t>(dlsym(handle, "ibverbs_soft_environment"));
  library.close = reinterpret_cast<ibverbs_soft_close_t>(dlsym(handle, "ibverbs_soft_close"));
  library.describe = reinterpret_cast<ibverbs_soft_describe_t>(dlsym(handle, "ibverbs_soft_describe"));
  library.violations = reinterpret_cast<ibverbs_soft_violations_t>(dlsym(handle, "ibverbs_soft_violations"));
  library.setLink = reinterpret_cast<ibverbs_soft_set_link_t>(dlsym(handle, "ibverbs_soft_set_link"));
  if (!library.open || !library.environment || !library.close || !library.describe || !library.violations ||
      !library.setLink) {
    library = {};
    throwErrno(env, ENOEXEC, "dlopen", file + " is of another version");
  }
  return env.Undefined();
}

// open(specification): number of what was made
Napi::Value open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string specification = argument::string(env, info[0], "specification");
  uint32_t number = 0;
  char words[512] = "";
  const int error = loaded(env).open(specification.c_str(), &number, words, sizeof words);
  if (error) throwErrno(env, error, "softConnectX", words);
  return Napi::Number::New(env, number);
}

// environment(): makes the devices of IBVERBS_SOFT, if it is set and they are not there yet
Napi::Value environment(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  char words[512] = "";
  const int error = loaded(env).environment(words, sizeof words);
  if (error) throwErrno(env, error, "softConnectX", words);
  return env.Undefined();
}

// close(number)
Napi::Value close(const Napi::CallbackInfo& info) {
  loaded(info.Env()).close(argument::uint32(info, 0, "number"));
  return info.Env().Undefined();
}

// describe(number): lines of "key=value"; empty once it is closed
Napi::Value describe(const Napi::CallbackInfo& info) {
  const Library& functions = loaded(info.Env());
  const uint32_t number = argument::uint32(info, 0, "number");
  std::string text(functions.describe(number, nullptr, 0), '\0');
  functions.describe(number, text.data(), text.size());
  text.pop_back();  // the terminating zero
  return Napi::String::New(info.Env(), text);
}

// violations(number): what drivers did in strict mode that would hang on a card, a line each
Napi::Value violations(const Napi::CallbackInfo& info) {
  const Library& functions = loaded(info.Env());
  const uint32_t number = argument::uint32(info, 0, "number");
  // One may come between the two calls: it is in the next answer.
  std::string text(functions.violations(number, nullptr, 0), '\0');
  functions.violations(number, text.data(), text.size());
  return Napi::String::New(info.Env(), text.c_str());
}

// setLink(number, device, port, up)
Napi::Value setLink(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Library& functions = loaded(env);
  const uint32_t number = argument::uint32(info, 0, "number");
  const std::string device = argument::string(env, info[1], "device");
  const auto port = argument::integer<uint8_t>(env, info[2], "port");
  const bool up = argument::boolean(env, info[3], "up");
  if (const int error = functions.setLink(number, device.c_str(), port, up))
    throwErrno(env, error, "setLink", device + " port " + std::to_string(port));
  return env.Undefined();
}

}  // namespace

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object soft = Napi::Object::New(env);
  soft.Set("load", Napi::Function::New(env, load, "load"));
  soft.Set("open", Napi::Function::New(env, open, "open"));
  soft.Set("environment", Napi::Function::New(env, environment, "environment"));
  soft.Set("close", Napi::Function::New(env, close, "close"));
  soft.Set("describe", Napi::Function::New(env, describe, "describe"));
  soft.Set("violations", Napi::Function::New(env, violations, "violations"));
  soft.Set("setLink", Napi::Function::New(env, setLink, "setLink"));
  exports.Set("soft", soft);
}

}  // namespace soft_library

#include "soft/addon/soft_library.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

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
  if (!dlsym(handle, "ibverbs_soft_open")) {
    // Its path may have a `$`, which dlopen(3) takes for the beginning of a token (ld.so(8)).
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    handle = dlopen((descriptor < 0 ? file : path).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (descriptor >= 0) ::close(descriptor);
  }
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
Napi::Value openDevices(const Napi::CallbackInfo& info) {
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
Napi::Value closeDevices(const Napi::CallbackInfo& info) {
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

// The dynamic linker that loaded this program (PT_INTERP, elf(5)).
const char* dynamicLinker() {
  const char* path = nullptr;
  dl_iterate_phdr(
      [](dl_phdr_info* program, size_t, void* found) {
        for (int i = 0; i < program->dlpi_phnum; i++) {
          if (program->dlpi_phdr[i].p_type != PT_INTERP) continue;
          *static_cast<const char**>(found) =
              reinterpret_cast<const char*>(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr);
        }
        return 1;  // the program itself is the first
      },
      &path);
  return path;
}

std::vector<std::string> strings(Napi::Env env, const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw Napi::TypeError::New(env, std::string(name) + " must be an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> all;
  for (uint32_t i = 0; i < array.Length(); i++) all.push_back(argument::string(env, array[i], name));
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

// What Node changed in this process and a program would inherit, or not: signals that it ignores or has blocked, and
// standard streams that do not wait, and that it closes at execve(2) (uv_disable_stdio_inheritance()). As uv_spawn()
// does for a child.
void leave() {
  for (int signal = 1; signal < NSIG; signal++) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  for (int stream = 0; stream <= 2; stream++) {
    fcntl(stream, F_SETFD, 0);
    const int flags = fcntl(stream, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK)) fcntl(stream, F_SETFL, flags & ~O_NONBLOCK);
  }
}

// become(library, words, environment): this process is from now on the launcher (soft/launch/launch.h); returns only by
// an error
Napi::Value become(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::vector<std::string> words = strings(env, info[1], "words");
  words.insert(words.begin(), argument::string(env, info[0], "library"));
  std::vector<std::string> variables = strings(env, info[2], "environment");
  const char* linker = dynamicLinker();
  if (!linker) throwErrno(env, ENOEXEC, "execve", "this program has no dynamic linker");
  words.insert(words.begin(), linker);
  leave();
  execve(linker, pointers(words).data(), pointers(variables).data());
  throwErrno(env, errno, "execve", linker);
}

}  // namespace

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object soft = Napi::Object::New(env);
  soft.Set("load", Napi::Function::New(env, load, "load"));
  soft.Set("open", Napi::Function::New(env, openDevices, "open"));
  soft.Set("environment", Napi::Function::New(env, environment, "environment"));
  soft.Set("close", Napi::Function::New(env, closeDevices, "close"));
  soft.Set("describe", Napi::Function::New(env, describe, "describe"));
  soft.Set("violations", Napi::Function::New(env, violations, "violations"));
  soft.Set("setLink", Napi::Function::New(env, setLink, "setLink"));
  soft.Set("become", Napi::Function::New(env, become, "become"));
  exports.Set("soft", soft);
}

}  // namespace soft_library

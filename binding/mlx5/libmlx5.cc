#include "mlx5/libmlx5.h"

#include <dlfcn.h>

#include <cerrno>

namespace mlx5 {
namespace {

struct Library {
  void* handle = nullptr;
  std::string error;

  Library() {
    // The very file that libibverbs loads as its provider (libmlx5-rdmav34.so is a link to it): one instance.
    handle = dlopen("libmlx5.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle) return;
    const char* words = dlerror();
    error = words ? words : "libmlx5.so.1";
  }
};

const Library& library() {
  static const Library instance;
  return instance;
}

// dlsym returns the default version of a symbol, which is the newest: mlx5dv_init_obj has an old one.
void* symbol(const char* name) { return library().handle ? dlsym(library().handle, name) : nullptr; }

}  // namespace

const std::string& unavailable() { return library().error; }

bool isSupported(ibv_context* context) { return unavailable().empty() && mlx5dv_is_supported(context->device); }

}  // namespace mlx5

#define FORWARD(type, name, parameters, arguments, missing)                             \
  type name parameters {                                                                \
    static const auto real = reinterpret_cast<type(*) parameters>(mlx5::symbol(#name)); \
    return real ? real arguments : missing;                                             \
  }

extern "C" {

FORWARD(bool, mlx5dv_is_supported, (ibv_device* device), (device), false)
FORWARD(int, mlx5dv_query_device, (ibv_context* context, mlx5dv_context* attributes), (context, attributes), ENOSYS)
FORWARD(int, mlx5dv_init_obj, (mlx5dv_obj* object, uint64_t type), (object, type), ENOSYS)
FORWARD(int, mlx5dv_get_clock_info, (ibv_context* context, mlx5dv_clock_info* info), (context, info), ENOSYS)

}  // extern "C"

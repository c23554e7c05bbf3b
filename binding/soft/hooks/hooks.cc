#include "hooks/hooks.h"

#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <string>

#include "hooks/got.h"
#include "hooks/replacement.h"

namespace soft {
namespace {

GotPatches paths, descriptors;
std::mutex patchesMutex;

bool isVerbs(const std::string& library) {
  for (const char* prefix : {"libibverbs.so", "libmlx5.so", "libmlx5-rdmav"}) {
    if (library.compare(0, strlen(prefix), prefix) == 0) return true;
  }
  return false;
}

// Whether this library was preloaded: its exported functions come before the C library's.
bool isPreloaded() {
  static const bool preloaded = dlsym(dlopen(nullptr, RTLD_NOW), "ibverbs_soft_open") != nullptr;
  return preloaded;
}

}  // namespace

void patchLoaded() {
  const std::lock_guard<std::mutex> guard(patchesMutex);
  descriptors.apply(descriptorReplacements(), GotPatches::Whose::theirOwn, isVerbs);
  // Preloaded, the exported functions have come first already.
  if (!isPreloaded()) paths.apply(pathReplacements(), GotPatches::Whose::dependents, isVerbs);
}

bool installHooks() {
  // Preloaded, the exported hooks are in everybody's way, and the rest is patched when libibverbs first looks for
  // devices: a program that does not use it need not load it.
  if (isPreloaded()) return true;
  // Never closed again: the hooks stay in it.
  static void* const library = ::dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
  patchLoaded();
  return library != nullptr;
}

}  // namespace soft

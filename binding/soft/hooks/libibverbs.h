// Functions of the libibverbs that the program uses, behind those that this library puts before them.
#pragma once

#include <dlfcn.h>

namespace soft {

template <typename Function>
Function libibverbs(const char* name) {
  // Its caller has it loaded, maybe for itself alone (a plug-in of UCX's or DPDK's): not everybody's search leads to
  // it.
  static void* const library = ::dlopen("libibverbs.so.1", RTLD_NOW | RTLD_NOLOAD);
  void* const from = library ? library : RTLD_NEXT;
  void* function = dlvsym(from, name, "IBVERBS_1.1");
  return reinterpret_cast<Function>(function ? function : dlsym(from, name));
}

}  // namespace soft

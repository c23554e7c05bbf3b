// A library that is opened at run time, so that the package loads where it is missing.
#pragma once

#include <dlfcn.h>

#include <cerrno>
#include <string>

class RunTimeLibrary {
 public:
  explicit RunTimeLibrary(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_) return;
    const char* words = dlerror();
    error_ = words ? words : name;
  }

  // Why it cannot be opened; empty when it is.
  const std::string& error() const { return error_; }
  // The default version of a symbol, which is the newest: a lazy relocation would bind to an old one. Null where it has
  // none of that name.
  void* symbol(const char* name) const { return handle_ ? dlsym(handle_, name) : nullptr; }

 private:
  void* handle_;
  std::string error_;
};

// What a function gives that is missing where it creates an object: errno says so.
template <typename T>
T* null() {
  errno = ENOSYS;
  return nullptr;
}

// Defines a function of the library's that calls it, or, where the library or the function is missing, gives `missing`.
#define FORWARD(library, type, name, parameters, arguments, missing)                        \
  type name parameters {                                                                    \
    static const auto real = reinterpret_cast<type(*) parameters>((library).symbol(#name)); \
    return real ? real arguments : missing;                                                 \
  }

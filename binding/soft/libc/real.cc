#include "libc/real.h"

#include <dlfcn.h>

#include <cerrno>

namespace soft::real {
namespace {

// The version of struct stat that the functions before glibc 2.33 are told (bits/stat.h, _STAT_VER).
#if defined(__x86_64__)
constexpr int kStatVersion = 1;
#else
constexpr int kStatVersion = 0;
#endif

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

int open(const char* path, int flags, mode_t mode) {
  static const auto function = next<int (*)(const char*, int, ...)>("open");
  return function(path, flags, mode);
}

int openat(int folder, const char* path, int flags, mode_t mode) {
  static const auto function = next<int (*)(int, const char*, int, ...)>("openat");
  return function(folder, path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  static const auto function = next<FILE* (*)(const char*, const char*)>("fopen");
  return function(path, mode);
}

DIR* opendir(const char* path) {
  static const auto function = next<DIR* (*)(const char*)>("opendir");
  return function(path);
}

dirent* readdir(DIR* directory) {
  static const auto function = next<dirent* (*)(DIR*)>("readdir");
  return function(directory);
}

int closedir(DIR* directory) {
  static const auto function = next<int (*)(DIR*)>("closedir");
  return function(directory);
}

int scandir(const char* path, dirent*** entries, int (*filter)(const dirent*),
            int (*compare)(const dirent**, const dirent**)) {
  using Function = int (*)(const char*, dirent***, int (*)(const dirent*), int (*)(const dirent**, const dirent**));
  static const auto function = next<Function>("scandir");
  return function(path, entries, filter, compare);
}

int stat(const char* path, struct stat* status) {
  static const auto function = next<int (*)(const char*, struct stat*)>("stat");
  if (function) return function(path, status);
  static const auto before = next<int (*)(int, const char*, struct stat*)>("__xstat");
  return before(kStatVersion, path, status);
}

int lstat(const char* path, struct stat* status) {
  static const auto function = next<int (*)(const char*, struct stat*)>("lstat");
  if (function) return function(path, status);
  static const auto before = next<int (*)(int, const char*, struct stat*)>("__lxstat");
  return before(kStatVersion, path, status);
}

int fstat(int descriptor, struct stat* status) {
  static const auto function = next<int (*)(int, struct stat*)>("fstat");
  if (function) return function(descriptor, status);
  static const auto before = next<int (*)(int, int, struct stat*)>("__fxstat");
  return before(kStatVersion, descriptor, status);
}

int fstatat(int folder, const char* path, struct stat* status, int flags) {
  static const auto function = next<int (*)(int, const char*, struct stat*, int)>("fstatat");
  if (function) return function(folder, path, status, flags);
  static const auto before = next<int (*)(int, int, const char*, struct stat*, int)>("__fxstatat");
  return before(kStatVersion, folder, path, status, flags);
}

int statx(int folder, const char* path, int flags, unsigned mask, struct ::statx* status) {
  static const auto function = next<int (*)(int, const char*, int, unsigned, struct ::statx*)>("statx");
  if (function) return function(folder, path, flags, mask, status);
  errno = ENOSYS;
  return -1;
}

int access(const char* path, int mode) {
  static const auto function = next<int (*)(const char*, int)>("access");
  return function(path, mode);
}

int faccessat(int folder, const char* path, int mode, int flags) {
  static const auto function = next<int (*)(int, const char*, int, int)>("faccessat");
  return function(folder, path, mode, flags);
}

ssize_t readlink(const char* path, char* words, size_t size) {
  static const auto function = next<ssize_t (*)(const char*, char*, size_t)>("readlink");
  return function(path, words, size);
}

ssize_t readlinkat(int folder, const char* path, char* words, size_t size) {
  static const auto function = next<ssize_t (*)(int, const char*, char*, size_t)>("readlinkat");
  return function(folder, path, words, size);
}

int chdir(const char* path) {
  static const auto function = next<int (*)(const char*)>("chdir");
  return function(path);
}

char* realpath(const char* path, char* resolved) {
  static const auto function = next<char* (*)(const char*, char*)>("realpath");
  return function(path, resolved);
}

}  // namespace soft::real

// The C library's own functions, where this library exports hooks of the same names (hooks/paths.cc): what it calls
// itself must not come back to it.
#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>

struct statx;

namespace soft::real {

int open(const char* path, int flags, mode_t mode = 0);
int openat(int folder, const char* path, int flags, mode_t mode = 0);
FILE* fopen(const char* path, const char* mode);

DIR* opendir(const char* path);
dirent* readdir(DIR* directory);
int closedir(DIR* directory);
int scandir(const char* path, dirent*** entries, int (*filter)(const dirent*),
            int (*compare)(const dirent**, const dirent**));

int stat(const char* path, struct stat* status);
int lstat(const char* path, struct stat* status);
int fstat(int descriptor, struct stat* status);
int fstatat(int folder, const char* path, struct stat* status, int flags);
int statx(int folder, const char* path, int flags, unsigned mask, struct ::statx* status);
int access(const char* path, int mode);
int faccessat(int folder, const char* path, int mode, int flags);

ssize_t readlink(const char* path, char* words, size_t size);
ssize_t readlinkat(int folder, const char* path, char* words, size_t size);
int chdir(const char* path);
char* realpath(const char* path, char* resolved);

}  // namespace soft::real

// Calls that name a path: below /sys they are led to the tree of the software devices, and their files below
// /dev/infiniband are opened here. All others go to the C library at once.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "device/card.h"
#include "hooks/registry.h"
#include "hooks/replacement.h"
#include "hooks/sorted_directory.h"
#include "hooks/sysfs_path.h"
#include "libc/real.h"

namespace soft {
namespace {

Registry& registry() { return Registry::instance(); }

// The file to take in place of `path`.
class Led {
 public:
  explicit Led(const char* path) : path_(path) {
    if (concerns(path)) ours_ = sysfsPath(path, &lists_);
  }
  const char* path() const { return ours_.empty() ? path_ : ours_.c_str(); }
  bool lists() const { return lists_; }

 private:
  const char* path_;
  std::string ours_;
  bool lists_ = false;
};

// The number of the device whose file `path` is, or minus one.
int node(const char* path) { return concerns(path) ? deviceNumber(path) : -1; }

// What stands in for a device file: libibverbs looks at its type and number.
constexpr char kNode[] = "/dev/null";

unsigned minorOf(int device) { return card::kVerbsMinor + static_cast<unsigned>(device); }

int openNode(const char* path) {
  // A program that links libmlx5 itself has it without libibverbs' loading it.
  patchLoaded();
  registry().fromEnvironmentOrComplain();
  std::shared_ptr<World> world;
  if (const auto device = registry().device(path, &world)) return world->openFile(device);
  errno = ENODEV;
  return -1;
}

}  // namespace

extern "C" {

int soft_open(const char* path, int flags, mode_t mode) {
  if (!concerns(path)) return real::open(path, flags, mode);
  if (node(path) >= 0) return openNode(path);
  return real::open(Led(path).path(), flags, mode);
}

// An absolute path does not depend on the folder (openat(2)).
int soft_openat(int folder, const char* path, int flags, mode_t mode) {
  return concerns(path) ? soft_open(path, flags, mode) : real::openat(folder, path, flags, mode);
}

int soft_open_2(const char* path, int flags) { return soft_open(path, flags, 0); }
int soft_openat_2(int folder, const char* path, int flags) { return soft_openat(folder, path, flags, 0); }

FILE* soft_fopen(const char* path, const char* mode) {
  return concerns(path) ? real::fopen(Led(path).path(), mode) : real::fopen(path, mode);
}

DIR* soft_opendir(const char* path) {
  if (!concerns(path)) return real::opendir(path);
  const Led led(path);
  return led.lists() ? openSorted(led.path()) : real::opendir(led.path());
}

dirent* soft_readdir(DIR* directory) { return readDirectory(directory); }
int soft_closedir(DIR* directory) { return closeDirectory(directory); }

int soft_scandir(const char* path, dirent*** entries, int (*filter)(const dirent*),
                 int (*compare)(const dirent**, const dirent**)) {
  if (!concerns(path)) return real::scandir(path, entries, filter, compare);
  return real::scandir(Led(path).path(), entries, filter, compare);
}

int soft_stat(const char* path, struct stat* status) {
  if (!concerns(path)) return real::stat(path, status);
  const int device = node(path);
  if (device < 0) return real::stat(Led(path).path(), status);
  const int result = real::stat(kNode, status);
  if (result == 0) status->st_rdev = makedev(card::kVerbsMajor, minorOf(device));
  return result;
}

int soft_lstat(const char* path, struct stat* status) {
  if (!concerns(path)) return real::lstat(path, status);
  return node(path) >= 0 ? soft_stat(path, status) : real::lstat(Led(path).path(), status);
}

int soft_fstatat(int folder, const char* path, struct stat* status, int flags) {
  if (!concerns(path)) return real::fstatat(folder, path, status, flags);
  return node(path) >= 0 ? soft_stat(path, status) : real::fstatat(folder, Led(path).path(), status, flags);
}

// What they were before glibc 2.33
int soft_xstat(int, const char* path, struct stat* status) { return soft_stat(path, status); }
int soft_lxstat(int, const char* path, struct stat* status) { return soft_lstat(path, status); }
int soft_fxstatat(int, int folder, const char* path, struct stat* status, int flags) {
  return soft_fstatat(folder, path, status, flags);
}

int soft_statx(int folder, const char* path, int flags, unsigned mask, struct statx* status) {
  if (!concerns(path)) return real::statx(folder, path, flags, mask, status);
  const int device = node(path);
  if (device < 0) return real::statx(folder, Led(path).path(), flags, mask, status);
  const int result = real::statx(AT_FDCWD, kNode, flags, mask, status);
#ifdef STATX_BASIC_STATS
  if (result == 0) {
    status->stx_rdev_major = card::kVerbsMajor;
    status->stx_rdev_minor = minorOf(device);
  }
#endif
  return result;
}

int soft_access(const char* path, int mode) {
  if (!concerns(path)) return real::access(path, mode);
  return real::access(node(path) >= 0 ? kNode : Led(path).path(), mode);
}

int soft_faccessat(int folder, const char* path, int mode, int flags) {
  if (!concerns(path)) return real::faccessat(folder, path, mode, flags);
  return real::faccessat(folder, node(path) >= 0 ? kNode : Led(path).path(), mode, flags);
}

// With the effective user's rights, where access(2) takes the real one's.
int soft_eaccess(const char* path, int mode) { return soft_faccessat(AT_FDCWD, path, mode, AT_EACCESS); }

int soft_chdir(const char* path) { return concerns(path) ? real::chdir(Led(path).path()) : real::chdir(path); }

ssize_t soft_readlink(const char* path, char* words, size_t size) {
  return concerns(path) ? real::readlink(Led(path).path(), words, size) : real::readlink(path, words, size);
}

ssize_t soft_readlinkat(int folder, const char* path, char* words, size_t size) {
  if (!concerns(path)) return real::readlinkat(folder, path, words, size);
  return real::readlinkat(folder, Led(path).path(), words, size);
}

// The bounds that a fortified caller knows of its buffer are the C library's to check.
ssize_t soft_readlink_chk(const char* path, char* words, size_t size, size_t room) {
  if (size > room) abort();
  return soft_readlink(path, words, size);
}
ssize_t soft_readlinkat_chk(int folder, const char* path, char* words, size_t size, size_t room) {
  if (size > room) abort();
  return soft_readlinkat(folder, path, words, size);
}

char* soft_realpath(const char* path, char* resolved) {
  if (!concerns(path)) return real::realpath(path, resolved);
  if (node(path) >= 0) path = kNode;  // it has no other name
  char* const found = real::realpath(Led(path).path(), resolved);
  if (!found) return found;
  const std::string original = originalPath(found);
  // Never longer: a temporary directory has more than the four letters of /sys.
  if (!original.empty()) memcpy(found, original.c_str(), original.size() + 1);
  return found;
}
char* soft_realpath_chk(const char* path, char* resolved, size_t room) {
  if (room < PATH_MAX) abort();
  return soft_realpath(path, resolved);
}
char* soft_canonicalize(const char* path) { return soft_realpath(path, nullptr); }
}

#define PATH_HOOKS(HOOK)                      \
  HOOK(open, soft_open)                       \
  HOOK(open64, soft_open)                     \
  HOOK(__open_2, soft_open_2)                 \
  HOOK(__open64_2, soft_open_2)               \
  HOOK(openat, soft_openat)                   \
  HOOK(openat64, soft_openat)                 \
  HOOK(__openat_2, soft_openat_2)             \
  HOOK(__openat64_2, soft_openat_2)           \
  HOOK(fopen, soft_fopen)                     \
  HOOK(fopen64, soft_fopen)                   \
  HOOK(opendir, soft_opendir)                 \
  HOOK(readdir, soft_readdir)                 \
  HOOK(readdir64, soft_readdir)               \
  HOOK(closedir, soft_closedir)               \
  HOOK(scandir, soft_scandir)                 \
  HOOK(scandir64, soft_scandir)               \
  HOOK(stat, soft_stat)                       \
  HOOK(stat64, soft_stat)                     \
  HOOK(__xstat, soft_xstat)                   \
  HOOK(__xstat64, soft_xstat)                 \
  HOOK(lstat, soft_lstat)                     \
  HOOK(lstat64, soft_lstat)                   \
  HOOK(__lxstat, soft_lxstat)                 \
  HOOK(__lxstat64, soft_lxstat)               \
  HOOK(fstatat, soft_fstatat)                 \
  HOOK(fstatat64, soft_fstatat)               \
  HOOK(__fxstatat, soft_fxstatat)             \
  HOOK(__fxstatat64, soft_fxstatat)           \
  HOOK(statx, soft_statx)                     \
  HOOK(access, soft_access)                   \
  HOOK(eaccess, soft_eaccess)                 \
  HOOK(euidaccess, soft_eaccess)              \
  HOOK(faccessat, soft_faccessat)             \
  HOOK(chdir, soft_chdir)                     \
  HOOK(readlink, soft_readlink)               \
  HOOK(__readlink_chk, soft_readlink_chk)     \
  HOOK(readlinkat, soft_readlinkat)           \
  HOOK(__readlinkat_chk, soft_readlinkat_chk) \
  HOOK(realpath, soft_realpath)               \
  HOOK(__realpath_chk, soft_realpath_chk)     \
  HOOK(canonicalize_file_name, soft_canonicalize)

PATH_HOOKS(EXPORT_AS)

const std::vector<Replacement>& pathReplacements() {
#define ENTRY(name, function) {#name, reinterpret_cast<void*>(function)},
  static const std::vector<Replacement> all{PATH_HOOKS(ENTRY)};
#undef ENTRY
  return all;
}

}  // namespace soft

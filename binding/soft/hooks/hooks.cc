#include "hooks/hooks.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>

#include "hooks/got.h"
#include "hooks/registry.h"
#include "hooks/sorted_directory.h"
#include "uverbs/ioctl.h"

namespace soft {
namespace {

GotPatches patches;
std::mutex patchesMutex;

Registry& registry() { return Registry::instance(); }

bool isOurs(const std::string& baseName) {
  for (const char* prefix : {"libibverbs.so", "libmlx5.so", "libmlx5-rdmav"}) {
    if (baseName.compare(0, strlen(prefix), prefix) == 0) return true;
  }
  return false;
}

const std::vector<Replacement>& replacements();

void patchLoaded() {
  const std::lock_guard<std::mutex> guard(patchesMutex);
  patches.apply(replacements(), isOurs);
}

// Paths of sysfs come absolute (ibv_read_sysfs_file) or relative to a directory that was opened through here.
std::string redirected(const char* path) { return path && *path == '/' ? registry().sysfsPath(path) : std::string(); }

int hookedOpenAt(int folder, const char* path, int flags, mode_t mode) {
  const std::string ours = redirected(path);
  return ::openat(folder, ours.empty() ? path : ours.c_str(), flags, mode);
}

int hookedOpen(const char* path, int flags, mode_t mode) {
  std::shared_ptr<World> world;
  if (path) {
    if (const auto device = registry().device(path, &world)) {
      // A program that links libmlx5 itself has it without libibverbs' loading it.
      patchLoaded();
      return world->openFile(device);
    }
  }
  return hookedOpenAt(AT_FDCWD, path, flags, mode);
}

int hookedStat(const char* path, struct stat* status) {
  std::shared_ptr<World> world;
  if (path && registry().device(path, &world)) return ::stat("/dev/null", status);
  const std::string ours = redirected(path);
  return ::stat(ours.empty() ? path : ours.c_str(), status);
}

// stat() of a library that was built with glibc before 2.33
int hookedXStat(int, const char* path, struct stat* status) { return hookedStat(path, status); }

DIR* hookedOpenDirectory(const char* path) {
  const std::string ours = redirected(path);
  return ours.empty() ? ::opendir(path) : openSorted(ours.c_str());
}

// libibverbs first asks the kernel for its devices, over netlink, and looks into sysfs where that is not answered:
// there it finds ours and the kernel's own alike.
int hookedNetlinkConnect(void* socket, int protocol) {
  constexpr int kNoSuchDevice = 31;  // NLE_NODEV of netlink/errno.h
  if (protocol == NETLINK_RDMA) {
    registry().fromEnvironmentOrComplain();
    if (registry().any()) return -kNoSuchDevice;
  }
  using Connect = int (*)(void*, int);
  static void* const library = ::dlopen("libnl-3.so.200", RTLD_NOW | RTLD_NOLOAD);
  static const auto real = library ? reinterpret_cast<Connect>(dlsym(library, "nl_connect")) : nullptr;
  return real ? real(socket, protocol) : -kNoSuchDevice;
}

ssize_t hookedWrite(int descriptor, const void* bytes, size_t length) {
  if (const auto file = registry().file(descriptor)) {
    const int error = file->write(reinterpret_cast<uint64_t>(bytes), length);
    if (!error) return static_cast<ssize_t>(length);
    errno = error;
    return -1;
  }
  if (registry().isOrphan(descriptor)) {
    errno = EIO;
    return -1;
  }
  return ::write(descriptor, bytes, length);
}

int hookedIoctl(int descriptor, unsigned long request, void* argument) {
  if (registry().file(descriptor) || registry().isOrphan(descriptor)) {
    errno = uverbs::ioctlError(request, argument);
    return -1;
  }
  return ::ioctl(descriptor, request, argument);
}

void* hookedMap(void* address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  if (descriptor >= 0) {
    if (const auto file = registry().file(descriptor)) return file->map(length, protection, offset);
  }
  return ::mmap(address, length, protection, flags, descriptor, offset);
}

int hookedUnmap(void* address, size_t length) { return registry().unmapping(address) ? 0 : ::munmap(address, length); }

int hookedClose(int descriptor) {
  registry().closing(descriptor);
  return ::close(descriptor);
}

// How libibverbs loads its drivers, libmlx5 among them (dynamic_driver.c).
void* hookedLoad(const char* name, int flags) {
  void* library = ::dlopen(name, flags);
  if (library) patchLoaded();
  return library;
}

const std::vector<Replacement>& replacements() {
  const auto function = [](auto* pointer) { return reinterpret_cast<void*>(pointer); };
  static const std::vector<Replacement> all{
      {"open", function(hookedOpen)},
      {"open64", function(hookedOpen)},
      {"openat", function(hookedOpenAt)},
      {"openat64", function(hookedOpenAt)},
      {"stat", function(hookedStat)},
      {"stat64", function(hookedStat)},
      {"__xstat", function(hookedXStat)},
      {"opendir", function(hookedOpenDirectory)},
      {"write", function(hookedWrite)},
      {"ioctl", function(hookedIoctl)},
      {"mmap", function(hookedMap)},
      {"mmap64", function(hookedMap)},
      {"munmap", function(hookedUnmap)},
      {"close", function(hookedClose)},
      {"readdir", function(readDirectory)},
      {"readdir64", function(readDirectory)},
      {"closedir", function(closeDirectory)},
      {"dlopen", function(hookedLoad)},
      {"nl_connect", function(hookedNetlinkConnect)},
  };
  return all;
}

}  // namespace

bool installHooks() {
  // Never closed again: the hooks stay in it.
  static void* const library = ::dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
  patchLoaded();
  return library != nullptr;
}

}  // namespace soft

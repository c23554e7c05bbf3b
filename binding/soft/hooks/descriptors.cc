// Calls of libibverbs and of the libraries on it that name a device file's descriptor or its pages.
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <linux/netlink.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "device/card.h"
#include "hooks/libibverbs.h"
#include "hooks/registry.h"
#include "hooks/replacement.h"
#include "libc/real.h"
#include "uverbs/ioctl.h"

namespace soft {
namespace {

Registry& registry() { return Registry::instance(); }

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

// Device files are /dev/null's: that they are ours is seen by their number (libibverbs, open_cdev.c).
int hookedStatus(int descriptor, struct stat* status) {
  const int result = real::fstat(descriptor, status);
  if (const auto file = result ? nullptr : registry().file(descriptor)) {
    status->st_rdev =
        makedev(card::kVerbsMajor, card::kVerbsMinor + static_cast<unsigned>(file->device->identity.index));
  }
  return result;
}
int hookedXStatus(int, int descriptor, struct stat* status) { return hookedStatus(descriptor, status); }

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

// libmlx5 has libibverbs not tell the kernel that a queue's completions are to have a time each (driver.h,
// CREATE_CQ_CMD_FLAGS_TS_IGNORED_EX): a card stamps them all. Here each costs a look at the clock, so it is told.
int hookedCreateQueue(ibv_context* context, void* attributes, void* queue, void* command, size_t size, void* response,
                      size_t responseSize, uint32_t flags) {
  constexpr uint32_t kTimestampIgnored = 1;
  using Create = int (*)(ibv_context*, void*, void*, void*, size_t, void*, size_t, uint32_t);
  static const auto real = libibverbs<Create>("ibv_cmd_create_cq_ex");
  if (registry().file(context->cmd_fd)) flags &= ~kTimestampIgnored;
  return real(context, attributes, queue, command, size, response, responseSize, flags);
}

// How libibverbs loads its drivers, libmlx5 among them (dynamic_driver.c).
void* hookedLoad(const char* name, int flags) {
  void* library = ::dlopen(name, flags);
  if (library) patchLoaded();
  return library;
}

}  // namespace

extern "C" {

// libibverbs first asks the kernel for its devices, over netlink, and looks into sysfs where that is not answered:
// there it finds ours and the kernel's own alike.
int soft_nl_connect(void* socket, int protocol) {
  constexpr int kNoSuchDevice = 31;  // NLE_NODEV of netlink/errno.h
  if (protocol == NETLINK_RDMA) {
    patchLoaded();
    registry().fromEnvironmentOrComplain();
    if (registry().any()) return -kNoSuchDevice;
  }
  using Connect = int (*)(void*, int);
  static void* const library = ::dlopen("libnl-3.so.200", RTLD_NOW | RTLD_NOLOAD);
  static const auto real = library ? reinterpret_cast<Connect>(dlsym(library, "nl_connect")) : nullptr;
  return real ? real(socket, protocol) : -kNoSuchDevice;
}
}

// Whoever calls it has libnl, and few have: the only one of these that is exported. It is the first call of libibverbs'
// that is seen where it is loaded late, by a plug-in of UCX's or DPDK's.
EXPORT_AS(nl_connect, soft_nl_connect)

const std::vector<Replacement>& descriptorReplacements() {
  const auto function = [](auto* pointer) { return reinterpret_cast<void*>(pointer); };
  static const std::vector<Replacement> all{
      {"write", function(hookedWrite)},
      {"ioctl", function(hookedIoctl)},
      {"fstat", function(hookedStatus)},
      {"fstat64", function(hookedStatus)},
      {"__fxstat", function(hookedXStatus)},
      {"__fxstat64", function(hookedXStatus)},
      {"mmap", function(hookedMap)},
      {"mmap64", function(hookedMap)},
      {"munmap", function(hookedUnmap)},
      {"close", function(hookedClose)},
      {"dlopen", function(hookedLoad)},
      {"nl_connect", function(soft_nl_connect)},
      {"ibv_cmd_create_cq_ex", function(hookedCreateQueue)},
  };
  return all;
}

}  // namespace soft

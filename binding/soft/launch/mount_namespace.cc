#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "launch/launch.h"

namespace soft {
namespace {

// The capabilities of this process in all its sets (proc_pid_status(5)): what it may do now, and all that it could pass
// on to a program.
struct Capabilities {
  uint64_t effective = 0, any = 0;
};

Capabilities capabilities() {
  Capabilities found;
  FILE* status = fopen("/proc/self/status", "re");
  if (!status) return found;
  char line[256];
  while (fgets(line, sizeof line, status)) {
    uint64_t set;
    if (sscanf(line, "CapEff: %" SCNx64, &set) == 1) found.effective = set;
    for (const char* kind : {"CapInh: %" SCNx64, "CapPrm: %" SCNx64, "CapAmb: %" SCNx64}) {
      if (sscanf(line, kind, &set) == 1) found.any |= set;
    }
  }
  fclose(status);
  found.any |= found.effective;
  return found;
}

bool write(const char* path, const std::string& words) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  const bool written = file >= 0 && ::write(file, words.data(), words.size()) == static_cast<ssize_t>(words.size());
  const int error = errno;
  if (file >= 0) close(file);
  errno = error;
  return written;
}

// An errno and the call that failed, or 0.
int enter(bool user, const std::vector<DeviceIdentity>& devices, const std::string& card, const std::string& library,
          std::string* call) {
  const std::string uid = std::to_string(geteuid()), gid = std::to_string(getegid());
  *call = "unshare(2)";
  if (unshare(user ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS)) return errno;
  if (user) {
    // Oneself, and nobody else (user_namespaces(7)).
    *call = "/proc/self/uid_map";
    if (!write("/proc/self/setgroups", "deny") && errno != ENOENT) return errno;
    if (!write("/proc/self/uid_map", uid + " " + uid + " 1")) return errno;
    *call = "/proc/self/gid_map";
    if (!write("/proc/self/gid_map", gid + " " + gid + " 1")) return errno;
  }
  // What the machine mounts later is still seen; what is mounted here is not seen there.
  *call = "mount(/)";
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr)) return errno;
  return mountSysfs(devices, card, library, call);
}

}  // namespace

bool enterMountNamespace(const std::vector<DeviceIdentity>& devices, const std::string& card,
                         const std::string& library, std::string* how, std::string* why) {
  constexpr uint64_t kAdministrator = uint64_t{1} << 21;  // CAP_SYS_ADMIN
  const Capabilities own = capabilities();
  const bool user = !(own.effective & kAdministrator);
  if (user && own.any) {
    // Capabilities in a user namespace are none in that of the network: an interface could no longer be a wire.
    char words[160];
    snprintf(words, sizeof words,
             "without CAP_SYS_ADMIN it takes a user namespace, which would take the capabilities away that there are "
             "(%" PRIx64 ")",
             own.any);
    *why = words;
    return false;
  }
  // Tried by another process first: half a way in there is no way back.
  int channel[2];
  if (pipe2(channel, O_CLOEXEC)) {
    *why = std::string("pipe2(2): ") + strerror(errno);
    return false;
  }
  const pid_t scout = fork();
  if (scout == 0) {
    std::string call;
    if (const int error = enter(user, devices, card, library, &call)) {
      const std::string words = call + ": " + strerror(error);
      if (::write(channel[1], words.data(), words.size()) < 0) _exit(1);
    }
    _exit(0);
  }
  close(channel[1]);
  char words[512];
  ssize_t length = -1;
  int status = 1;
  if (scout > 0) {
    length = read(channel[0], words, sizeof words);
    waitpid(scout, &status, 0);
  }
  close(channel[0]);
  *why = length > 0 ? std::string(words, static_cast<size_t>(length)) : "the process that tried it ended";
  if (length != 0 || status != 0) return false;
  std::string call;
  if (const int error = enter(user, devices, card, library, &call)) {
    *why = call + ": " + strerror(error);
    return false;
  }
  *how = user ? "in a user namespace" : "without a user namespace";
  return true;
}

}  // namespace soft

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <iterator>
#include <set>

#include "launch/launch.h"
#include "launch/preload_path.h"
#include "libc/real.h"
#include "sysfs/infiniband.h"
#include "sysfs/tree.h"

namespace soft {
namespace {

struct Failure {
  std::string call;
  int error;
};

class Composition {
 public:
  Composition(std::string real, const std::vector<DeviceIdentity>& devices) : real_(std::move(real)) {
    for (const std::string list : kLists) {
      for (size_t at = 0; at != std::string::npos;) mixed_.insert(list.substr(0, at = list.find('/', at + 1)));
    }
    for (const DeviceIdentity& device : devices) {
      // The machine has none of these names, unless `ibverbs soft` runs within itself.
      for (std::string& entry : classEntries(device)) ours_.insert(std::move(entry));
    }
    ours_.insert(std::begin(kAttributes), std::end(kAttributes));
    ours_.insert(kMarker);
  }

  void fill(const std::string& folder) {
    DIR* entries = real::opendir((real_ + folder).c_str());
    if (!entries) throw Failure{"opendir(/sys" + folder + ")", errno};
    while (const dirent* entry = real::readdir(entries)) {
      const std::string name = entry->d_name, path = folder + "/" + name;
      if (name == "." || name == ".." || ours_.count(path)) continue;
      if (entry->d_type == DT_LNK) link(path);
      else if (entry->d_type == DT_DIR) directory(path);
      else bind(path, mknod(("/sys" + path).c_str(), S_IFREG | 0444, 0));
    }
    real::closedir(entries);
  }

 private:
  void link(const std::string& path) {
    char target[PATH_MAX];
    const ssize_t length = real::readlink((real_ + path).c_str(), target, sizeof target - 1);
    if (length < 0) return;  // a device that has just gone
    target[length] = '\0';
    if (symlink(target, ("/sys" + path).c_str())) throw Failure{"symlink(/sys" + path + ")", errno};
  }

  void directory(const std::string& path) {
    const int made = mkdir(("/sys" + path).c_str(), 0755);
    if (mixed_.count(path)) return fill(path);
    bind(path, made);
  }

  void bind(const std::string& path, int made) {
    const std::string place = "/sys" + path;
    if (made == 0 && mount((real_ + path).c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) return;
    if (errno != ENOENT) throw Failure{"mount(" + place + ")", errno};
  }

  const std::string real_;
  // The directories that hold something of ours: they are made anew, and the machine's entries put back one by one. All
  // others are bound as they are, with what is mounted in them.
  std::set<std::string> mixed_{"/devices"};
  std::set<std::string> ours_;
};

}  // namespace

int mountSysfs(const std::vector<DeviceIdentity>& devices, const std::string& card, const std::string& library,
               std::string* call) {
  const int machine = real::open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (machine < 0) {
    *call = "open(/sys)";
    return errno;
  }
  int error = 0;
  if (mount("ibverbs-soft", "/sys", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755")) {
    *call = "mount(/sys)";
    error = errno;
  } else {
    try {
      // By the descriptor the machine's own is still there below the new one.
      Composition("/proc/self/fd/" + std::to_string(machine), devices).fill("");
      Folder tree("/sys");
      writeTree(tree, devices);
      tree.text(kMarker, card);
      if (!fitsPreload(library)) {
        tree.text(std::string(kMountedLibrary).substr(4), "");
        if (mount(library.c_str(), kMountedLibrary, nullptr, MS_BIND, nullptr)) throw Failure{"mount(library)", errno};
      }
      if (tree.error()) throw Failure{"the tree in /sys", tree.error()};
    } catch (const Failure& failure) {
      *call = failure.call;
      error = failure.error;
    }
  }
  close(machine);
  return error;
}

}  // namespace soft

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <set>

#include "launch/launch.h"
#include "launch/preload_path.h"
#include "libc/real.h"
#include "sysfs/infiniband.h"
#include "sysfs/tree.h"

namespace soft {
namespace {

// The directories that hold something of ours: they are made anew, and the machine's entries put back one by one. All
// others are bound as they are, with what is mounted in them.
const std::set<std::string> kMixed{
    "/class",   "/class/infiniband", "/class/infiniband_verbs", "/class/infiniband_mad",      "/bus",
    "/bus/pci", "/bus/pci/devices",  "/bus/pci/drivers",        "/bus/pci/drivers/mlx5_core", "/devices"};

struct Failure {
  std::string call;
  int error;
};

class Composition {
 public:
  Composition(std::string real, const std::vector<DeviceSpecification>& devices) : real_(std::move(real)) {
    for (const DeviceSpecification& device : devices) {
      // The machine has none of these names, unless `ibverbs soft` runs within itself.
      ours_.insert("/class/infiniband/" + device.identity.name);
      ours_.insert("/class/infiniband_verbs/" + device.identity.uverbs);
      for (size_t port = 1; port <= device.identity.ports.size(); port++)
        ours_.insert("/class/infiniband_mad/" + madName(device.identity, port));
    }
    for (const char* file : {"/class/infiniband_verbs/abi_version", "/class/infiniband_mad/abi_version", kMarker})
      ours_.insert(file);
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
    if (kMixed.count(path)) return fill(path);
    bind(path, made);
  }

  void bind(const std::string& path, int made) {
    const std::string place = "/sys" + path;
    if (made == 0 && mount((real_ + path).c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) return;
    if (errno != ENOENT) throw Failure{"mount(" + place + ")", errno};
  }

  const std::string real_;
  std::set<std::string> ours_;
};

}  // namespace

int mountSysfs(const std::vector<DeviceSpecification>& devices, const std::string& card, const std::string& library,
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
      std::vector<DeviceIdentity> identities;
      for (const DeviceSpecification& device : devices) identities.push_back(device.identity);
      Folder tree("/sys");
      writeTree(tree, identities);
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

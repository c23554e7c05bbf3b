#include "sysfs/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "device/card.h"
#include "libc/real.h"
#include "sysfs/infiniband.h"
#include "sysfs/pci.h"

namespace soft {
namespace {

constexpr char kPrefix[] = "ibverbs-soft-";

std::string temporaryFolder() {
  const char* folder = getenv("TMPDIR");
  return folder && *folder == '/' ? folder : "/tmp";
}

// Links each entry of the machine's own directory into ours.
void linkReal(const std::string& tree, const std::string& list) {
  DIR* folder = real::opendir(("/sys" + list).c_str());
  if (!folder) return;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_type != DT_LNK) continue;
    // A link that cannot be made leaves that device out of the list, and nothing else; where one of ours has its name,
    // ours is seen.
    if (symlink(("/sys" + list + "/" + entry->d_name).c_str(), (tree + list + "/" + entry->d_name).c_str())) continue;
  }
  closedir(folder);
}

bool below(const std::string& path, const std::string& root) {
  return path.compare(0, root.size(), root) == 0 && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

void writeTree(Folder& tree, const std::vector<DeviceIdentity>& devices) {
  tree.text("/class/infiniband_verbs/abi_version", "6");  // IB_USER_VERBS_ABI_VERSION
  tree.text("/class/infiniband_mad/abi_version", "5");    // IB_USER_MAD_ABI_VERSION
  for (const char* list : kLists) tree.make(list);
  const std::vector<std::string> addresses = pciAddresses(devices.size());
  for (const DeviceIdentity& device : devices) {
    writePciFunction(tree, addresses[device.index]);
    writeInfiniband(tree, pciFolder(addresses[device.index]), device);
  }
}

void SysfsTree::place(const std::vector<DeviceIdentity>& devices) {
  places_.clear();
  const std::vector<std::string> addresses = pciAddresses(devices.size());
  for (const DeviceIdentity& device : devices) {
    const std::string& address = addresses[device.index];
    const std::string function = pciFolder(address);
    Place place{device.name, function + "/infiniband/" + device.name, classEntries(device)};
    for (const std::string& root :
         {function, "/bus/pci/devices/" + address, std::string("/bus/pci/drivers/") + card::kDriver + "/" + address})
      place.roots.push_back(root);
    places_.push_back(std::move(place));
  }
}

int SysfsTree::create(const std::vector<DeviceIdentity>& devices) {
  sweepSysfsTrees();
  std::string path = temporaryFolder() + "/" + kPrefix + "XXXXXX";
  if (!mkdtemp(path.data())) return errno;
  path_ = path;
  // Held as long as the process lives: that is how a sweep knows that the tree is in use. It gets its name when it is
  // locked: another process that sweeps between the two would take the tree away.
  const std::string unlocked = path_ + "/unlocked", locked = path_ + "/lock";
  lock_ = ::open(unlocked.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) || rename(unlocked.c_str(), locked.c_str())) return errno;
  Folder tree(path_);
  writeTree(tree, devices);
  for (const char* list : kLists) linkReal(path_, list);
  place(devices);
  return tree.error();
}

bool SysfsTree::adopt(const std::vector<DeviceIdentity>& devices, const std::string& card) {
  FILE* file = real::fopen((std::string("/sys") + kMarker).c_str(), "re");
  if (!file) return false;
  std::string there(card.size() + 2, '\0');
  there.resize(fread(there.data(), 1, there.size(), file));
  fclose(file);
  if (there != card + "\n") return false;
  mounted_ = true;
  path_ = "/sys";
  place(devices);
  // The machine's addresses were read with ours among them: what is there says where it is.
  for (Place& place : places_) {
    char* folder = real::realpath(("/sys/class/infiniband/" + place.name).c_str(), nullptr);
    if (folder) place.folder = std::string(folder).substr(path_.size());
    free(folder);
  }
  return true;
}

std::string SysfsTree::redirect(const std::string& path) const {
  if (path_.empty()) return {};
  bool ours = lists(path);
  for (const char* attribute : kAttributes) ours |= path == attribute;
  for (const Place& place : places_) {
    for (const std::string& root : place.roots) ours |= below(path, root);
  }
  return ours ? path_ + path : std::string();
}

bool SysfsTree::lists(const std::string& path) const {
  return std::any_of(std::begin(kLists), std::end(kLists), [&path](const char* list) { return path == list; });
}

std::string SysfsTree::original(const std::string& path) const {
  if (path_.empty() || mounted_ || !below(path, path_)) return {};
  return "/sys" + path.substr(path_.size());
}

bool SysfsTree::saysCarrier(const std::string& path, size_t* device, size_t* port) const {
  const size_t end = path.rfind('/');
  const std::string file = path.substr(end + 1);
  if (path_.empty() || (file != "state" && file != "phys_state")) return false;
  const size_t start = path.rfind("/ports/", end);
  if (start == std::string::npos) return false;
  *port = static_cast<size_t>(atoi(path.c_str() + start + strlen("/ports/")));
  for (*device = 0; *device < places_.size(); ++*device) {
    const Place& place = places_[*device];
    // Through whichever of its links.
    if (path.find("/" + place.name + "/ports/") != std::string::npos) return true;
  }
  return false;
}

void SysfsTree::setCarrier(size_t device, size_t port, bool up) {
  Folder tree(path_);
  writeCarrier(tree, places_[device].folder, port, up);
}

void SysfsTree::remove() {
  if (!path_.empty() && !mounted_) removeTree(path_);
  path_.clear();
  mounted_ = false;
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
}

void sweepSysfsTrees() {
  const std::string folder = temporaryFolder();
  DIR* entries = opendir(folder.c_str());
  if (!entries) return;
  while (const dirent* entry = readdir(entries)) {
    if (strncmp(entry->d_name, kPrefix, sizeof kPrefix - 1) != 0) continue;
    const std::string path = folder + "/" + entry->d_name;
    struct stat status;
    if (lstat(path.c_str(), &status) || !S_ISDIR(status.st_mode) || status.st_uid != geteuid()) continue;
    const int lock = ::open((path + "/lock").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0) {
      // No lock: another process is just making it, or was killed while it did, or while it took the tree away.
      constexpr time_t kMinute = 60;
      if (errno == ENOENT && time(nullptr) - status.st_mtime > kMinute) removeTree(path);
      continue;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) removeTree(path);
    ::close(lock);
  }
  closedir(entries);
}

}  // namespace soft

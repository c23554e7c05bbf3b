#include "sysfs/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace soft {
namespace {

constexpr char kPrefix[] = "ibverbs-soft-";

std::string temporaryFolder() {
  const char* folder = getenv("TMPDIR");
  return folder && *folder == '/' ? folder : "/tmp";
}

int makeFolders(const std::string& path) {
  for (size_t at = 1; (at = path.find('/', at)) != std::string::npos; at++) {
    if (mkdir(path.substr(0, at).c_str(), 0755) && errno != EEXIST) return errno;
  }
  return mkdir(path.c_str(), 0755) && errno != EEXIST ? errno : 0;
}

// Another process may be removing the same tree: a file that is gone already is no error.
int removeEntry(const char* path, const struct stat*, int, FTW*) {
  ::remove(path);
  return 0;
}

void removeTree(const std::string& path) { nftw(path.c_str(), removeEntry, 8, FTW_DEPTH | FTW_PHYS); }

// Writes files under one folder; the first failure is kept and the rest left out.
class Writer {
 public:
  explicit Writer(std::string folder) : folder_(std::move(folder)) { error_ = makeFolders(folder_); }

  template <typename... Arguments>
  void file(const char* name, const char* format, Arguments... arguments) {
    if (error_) return;
    const int fd = ::open((folder_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, format, arguments...) < 0) error_ = errno;
    if (fd >= 0) ::close(fd);
  }
  void text(const char* name, const char* words) { file(name, "%s\n", words); }

  int error() const { return error_; }

 private:
  std::string folder_;
  int error_;
};

// Four groups of four hexadecimal digits, as node_guid has them.
std::string guidText(uint64_t guid) {
  char text[20];
  snprintf(text, sizeof text, "%04x:%04x:%04x:%04x", static_cast<unsigned>(guid >> 48 & 0xffff),
           static_cast<unsigned>(guid >> 32 & 0xffff), static_cast<unsigned>(guid >> 16 & 0xffff),
           static_cast<unsigned>(guid & 0xffff));
  return text;
}

std::string gidText(const Gid& gid) {
  std::string text;
  for (size_t i = 0; i < gid.size(); i += 2) {
    char group[6];
    snprintf(group, sizeof group, "%s%02x%02x", i ? ":" : "", gid[i], gid[i + 1]);
    text += group;
  }
  return text;
}

std::string portFolder(const DeviceIdentity& device, size_t port) {
  return "/class/infiniband/" + device.name + "/ports/" + std::to_string(port);
}

// As mlx5_query_port_roce says it (drivers/infiniband/hw/mlx5/main.c), in the words of core/sysfs.c.
void writeState(Writer& attributes, bool up) {
  attributes.text("state", up ? "4: ACTIVE" : "1: DOWN");
  attributes.text("phys_state", up ? "5: LinkUp" : "3: Disabled");
}

int writePort(const std::string& folder, const PortIdentity& port) {
  Writer attributes(folder);
  attributes.text("link_layer", "Ethernet");
  writeState(attributes, true);
  attributes.text("rate", "100 Gb/sec (4X EDR)");
  attributes.text("lid", "0x0");
  attributes.text("sm_lid", "0x0");
  attributes.text("cap_mask", "0x00010000");
  Writer gids(folder + "/gids"), types(folder + "/gid_attrs/types"), keys(folder + "/pkeys");
  keys.text("0", "0xffff");
  for (size_t i = 0; i < port.gids.size(); i++) {
    const std::string index = std::to_string(i);
    gids.text(index.c_str(), gidText(port.gids[i].gid).c_str());
    types.text(index.c_str(), "RoCE v2");
    if (!port.interface.empty()) Writer(folder + "/gid_attrs/ndevs").text(index.c_str(), port.interface.c_str());
  }
  for (const Writer* writer : {&attributes, &gids, &types, &keys}) {
    if (writer->error()) return writer->error();
  }
  return 0;
}

// Links each entry of the machine's own /sys/class/`name` into ours.
void linkReal(const std::string& path, const char* name) {
  const std::string real = std::string("/sys/class/") + name;
  DIR* folder = opendir(real.c_str());
  if (!folder) return;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.' || strcmp(entry->d_name, "abi_version") == 0) continue;
    // A link that cannot be made leaves that device out of the list, and nothing else.
    if (symlink((real + "/" + entry->d_name).c_str(), (path + "/class/" + name + "/" + entry->d_name).c_str()))
      continue;
  }
  closedir(folder);
}

}  // namespace

int SysfsTree::create() {
  sweepSysfsTrees();
  std::string path = temporaryFolder() + "/" + kPrefix + "XXXXXX";
  if (!mkdtemp(path.data())) return errno;
  path_ = path;
  // Held as long as the process lives: that is how a sweep knows that the tree is in use.
  lock_ = ::open((path_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB)) return errno;
  Writer verbs(path_ + "/class/infiniband_verbs");
  verbs.text("abi_version", "6");  // IB_USER_VERBS_ABI_VERSION
  if (const int error = makeFolders(path_ + "/class/infiniband")) return error;
  linkReal(path_, "infiniband");
  linkReal(path_, "infiniband_verbs");
  return verbs.error();
}

int SysfsTree::add(const DeviceIdentity& device) {
  Writer verbs(path_ + "/class/infiniband_verbs/" + device.uverbs);
  verbs.text("ibdev", device.name.c_str());
  verbs.text("abi_version", "1");  // MLX5_IB_UVERBS_ABI_VERSION
  verbs.text("dev", "1:3");        // /dev/null: libibverbs compares it with the descriptor that it opened
  const std::string folder = path_ + "/class/infiniband/" + device.name;
  Writer attributes(folder);
  attributes.text("node_type", "1: CA");
  attributes.text("node_guid", guidText(device.guid).c_str());
  attributes.text("sys_image_guid", guidText(device.guid).c_str());
  attributes.text("fw_ver", "0.0.0");
  attributes.text("board_id", "SOFT");
  attributes.text("hca_type", "MT4125");
  attributes.text("hw_rev", "0");
  attributes.text("node_desc", "software ConnectX");
  Writer bus(folder + "/device");
  // A ConnectX-6 Dx: what libmlx5's table of PCI ids must know.
  bus.text("modalias", "pci:v000015B3d0000101Dsv000015B3sd00000000bc02sc00i00");
  bus.text("vendor", "0x15b3");
  bus.text("device", "0x101d");
  for (const Writer* writer : {&verbs, &attributes, &bus}) {
    if (writer->error()) return writer->error();
  }
  for (size_t i = 0; i < device.ports.size(); i++) {
    if (const int error = writePort(path_ + portFolder(device, i + 1), device.ports[i])) return error;
  }
  return 0;
}

int SysfsTree::withdraw(const DeviceIdentity& device) {
  removeTree(path_ + "/class/infiniband_verbs/" + device.uverbs);
  removeTree(path_ + "/class/infiniband/" + device.name);
  return 0;
}

bool SysfsTree::saysCarrier(const std::string& path, const DeviceIdentity& device, size_t port) {
  const std::string folder = portFolder(device, port);
  return path == folder + "/state" || path == folder + "/phys_state";
}

void SysfsTree::setCarrier(const DeviceIdentity& device, size_t port, bool up) {
  Writer attributes(path_ + portFolder(device, port));
  writeState(attributes, up);
}

void SysfsTree::remove() {
  if (!path_.empty()) removeTree(path_);
  path_.clear();
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

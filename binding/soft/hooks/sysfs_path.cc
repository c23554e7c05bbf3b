#include "hooks/sysfs_path.h"

#include <cstdlib>
#include <cstring>

#include "hooks/registry.h"

namespace soft {
namespace {

bool begins(const std::string& path, const char* with) { return path.compare(0, strlen(with), with) == 0; }

// Without doubled slashes and dots, and without a slash at the end.
std::string tidy(const char* path) {
  std::string result;
  while (*path) {
    const size_t length = strcspn(path, "/");
    if (length && !(length == 1 && path[0] == '.')) result.append("/").append(path, length);
    path += length + (path[length] == '/');
  }
  return result;
}

constexpr char kMachine[] = "/sys";

// Where libibverbs looks for sysfs: it, too, asks once.
const std::string& root() {
  static const std::string path = [] {
    const char* given = getenv("SYSFS_PATH");
    return given && *given ? tidy(given) : kMachine;
  }();
  return path;
}

}  // namespace

const bool sysfsElsewhere = root() != kMachine;

std::string sysfsPath(const char* path, bool* lists) {
  *lists = false;
  std::string below = tidy(path);
  if (begins(below, root().c_str())) below.erase(0, root().size());
  else if (begins(below, kMachine)) below.erase(0, sizeof kMachine - 1);
  else return {};
  // What follows ".." is the file system's to find, from where the links lead.
  std::string rest;
  const size_t up = below.find("/..");
  if (up != std::string::npos) {
    rest = below.substr(up);
    below.resize(up);
  }
  const bool listing = begins(below, "/class/infiniband") || begins(below, "/bus/pci/d");
  if (!listing && !begins(below, "/devices/pci")) return {};
  if (listing) Registry::instance().describeEnvironment();
  const std::string ours = Registry::instance().sysfsPath(below, lists);
  return ours.empty() ? ours : ours + rest;
}

std::string originalPath(const char* path) { return path ? Registry::instance().originalPath(path) : std::string(); }

int deviceNumber(const char* path) {
  const std::string tidied = tidy(path);
  if (!begins(tidied, "/dev/infiniband/")) return -1;
  Registry::instance().describeEnvironment();
  return Registry::instance().deviceNumber(tidied);
}

}  // namespace soft

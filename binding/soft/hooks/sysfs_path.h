// Which paths lead to the software devices, and where to.
#pragma once

#include <string>

namespace soft {

// Whether SYSFS_PATH sends libibverbs to another sysfs than the machine's (sysfs.c, ibv_get_sysfs_path).
extern const bool sysfsElsewhere;

// Whether a path can be one of ours: a comparison of a few bytes, which is all that a foreign call pays.
inline bool concerns(const char* path) {
  if (!path || path[0] != '/') return false;
  if (sysfsElsewhere) return true;
  if (path[1] == 's') return path[2] == 'y' && path[3] == 's';
  if (path[1] == 'd') return path[2] == 'e' && path[3] == 'v' && path[4] == '/' && path[5] == 'i';
  return false;
}

// A path of sysfs led to the tree of the software devices; empty where it is the machine's own. `lists`: a directory
// that lists devices.
std::string sysfsPath(const char* path, bool* lists);

// The path below /sys of a file of the tree; empty for others.
std::string originalPath(const char* path);

// The number of the device whose file it is, or minus one.
int deviceNumber(const char* path);

}  // namespace soft

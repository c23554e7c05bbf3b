#include "launch/preload_path.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sysfs/folder.h"

namespace soft {
namespace {

// Those of processes that are no more.
void sweep(const std::string& parent) {
  DIR* folder = opendir(parent.c_str());
  if (!folder) return;
  while (const dirent* entry = readdir(folder)) {
    long process;
    if (sscanf(entry->d_name, "ibverbs-preload-%ld-", &process) != 1) continue;
    struct stat status;
    const std::string path = parent + "/" + entry->d_name;
    if (stat(("/proc/" + std::to_string(process)).c_str(), &status) == 0) continue;
    if (lstat(path.c_str(), &status) == 0 && status.st_uid == geteuid()) removeTree(path);
  }
  closedir(folder);
}

}  // namespace

bool fitsPreload(const std::string& path) { return path.find_first_of(" \t\n:$") == std::string::npos; }

std::string linkThatFits(const std::string& file, std::string* words) {
  const char* temporary = getenv("TMPDIR");
  for (const char* parent : {temporary ? temporary : "/tmp", "/tmp", "/var/tmp"}) {
    if (*parent != '/' || !fitsPreload(parent)) continue;
    sweep(parent);
    std::string folder = std::string(parent) + "/ibverbs-preload-" + std::to_string(getpid()) + "-XXXXXX";
    if (!mkdtemp(folder.data())) continue;
    const std::string link = folder + "/" + file.substr(file.rfind('/') + 1);
    if (fitsPreload(link) && symlink(file.c_str(), link.c_str()) == 0) return link;
    rmdir(folder.c_str());
  }
  *words = file + ": LD_PRELOAD takes no path with a space, ':' or '$', and no temporary folder avoids them";
  return {};
}

}  // namespace soft

#include "sysfs/folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "libc/real.h"

namespace soft {
namespace {

// Another process may be removing the same tree: a file that is gone already is no error.
int removeEntry(const char* path, const struct stat*, int, FTW*) {
  ::remove(path);
  return 0;
}

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

void Folder::make(const std::string& path) {
  const std::string all = root_ + path;
  for (size_t at = root_.size(); !error_ && at != std::string::npos;) {
    at = all.find('/', at + 1);
    if (mkdir(all.substr(0, at).c_str(), 0755) && errno != EEXIST) error_ = errno;
  }
}

void Folder::bytes(const std::string& path, const std::string& bytes) {
  make(parent(path));
  if (error_) return;
  const int fd = real::open((root_ + path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || ::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) error_ = errno;
  if (fd >= 0) ::close(fd);
}

void Folder::link(const std::string& path, const std::string& target) {
  const std::string folder = parent(path);
  // Up to the last folder that both are below, and down again.
  size_t common = 0;
  for (size_t at = 0; at <= folder.size() && at < target.size(); at++) {
    if (target[at] == '/' && (at == folder.size() || folder[at] == '/')) common = at;
    if (at == folder.size() || folder[at] != target[at]) break;
  }
  std::string words;
  for (size_t at = common; at < folder.size(); at = std::min(folder.find('/', at + 1), folder.size())) words += "../";
  words += target.substr(common + 1);
  linkOut(path, words);
}

void Folder::linkOut(const std::string& path, const std::string& target) {
  make(parent(path));
  if (!error_ && symlink(target.c_str(), (root_ + path).c_str()) && errno != EEXIST) error_ = errno;
}

void removeTree(const std::string& path) { nftw(path.c_str(), removeEntry, 8, FTW_DEPTH | FTW_PHYS); }

}  // namespace soft

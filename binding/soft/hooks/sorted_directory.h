// A directory that is read in the order of its names.
//
// libibverbs lists devices in readdir(3)'s order (init.c, find_sysfs_devs): that of creation in the kernel's own sysfs
// and its netlink answer, any order in a directory of files. Ours are made in the order of their numbers, and must be
// listed in it.
#pragma once

#include <dirent.h>

namespace soft {

// opendir(3); closeDirectory ends it.
DIR* openSorted(const char* path);

// readdir(3), of directories that were opened by openSorted() and of all others.
dirent* readDirectory(DIR* directory);

// closedir(3), likewise.
int closeDirectory(DIR* directory);

}  // namespace soft

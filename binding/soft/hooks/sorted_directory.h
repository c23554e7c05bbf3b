// A directory that is read in the order of its names.
//
// libibverbs lists devices as readdir(3) brings them (init.c, find_sysfs_devs): as the file system likes, for files;
// the kernel's own sysfs and its netlink answer go by age. Ours are made in the order of their numbers, and are to be
// listed so.
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

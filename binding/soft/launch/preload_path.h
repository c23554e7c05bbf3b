// A path of the shared library that LD_PRELOAD can hold.
#pragma once

#include <string>

namespace soft {

// The file of the library where it is mounted, in a mount namespace of `ibverbs soft`'s own.
constexpr char kMountedLibrary[] = "/sys/.libibverbs_soft.so";

// Whether LD_PRELOAD can hold it: spaces and colons separate its parts, and `$` begins one of ld.so(8)'s tokens.
bool fitsPreload(const std::string& path);

// A link to the file in a temporary folder, which bears the number of this process: it goes with the process's end
// (soft.cc), or where that was sudden with the next `ibverbs soft`. Empty, and what is wrong in `words`, where no
// temporary folder has a path that fits either.
std::string linkThatFits(const std::string& file, std::string* words);

}  // namespace soft

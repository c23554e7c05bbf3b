// Patches the calls that one loaded library makes into others.
//
// A call out of a shared library goes through a slot of its own global offset table, filled by the dynamic linker from
// the relocations R_*_JUMP_SLOT and R_*_GLOB_DAT (System V ABI, "Dynamic Linking"; elf(5)). Writing another address
// there changes the calls of that library only: every other library, and the program, keep theirs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "hooks/replacement.h"

namespace soft {

class GotPatches {
 public:
  // The objects of wanted names, or also those that were linked against one (DT_NEEDED): UCX's and DPDK's plug-ins,
  // pyverbs' modules.
  enum class Whose { theirOwn, dependents };

  // Patches every loaded object that is wanted by its base name and not patched yet. The old addresses are gone: this
  // library stays loaded.
  void apply(const std::vector<Replacement>& replacements, Whose whose, bool (*wanted)(const std::string& baseName));

 private:
  struct Object {
    std::string path;
    size_t base;
  };
  std::vector<Object> objects_;
};

}  // namespace soft

// Patches the calls that one loaded library makes into others.
//
// A call out of a shared library goes through a slot of its own global offset table, filled by the dynamic linker from
// the relocations R_*_JUMP_SLOT and R_*_GLOB_DAT (System V ABI, "Dynamic Linking"; elf(5)). Writing another address
// there changes the calls of that library only: every other library, and the program, keep theirs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace soft {

struct Replacement {
  const char* name;
  void* function;
};

class GotPatches {
 public:
  // Patches every loaded object whose base name `wanted` accepts and that is not patched yet. Returns how many slots
  // now hold a replacement.
  size_t apply(const std::vector<Replacement>& replacements, bool (*wanted)(const std::string& baseName));

  // Puts the old addresses back, in the objects that are still loaded.
  void restore();

  struct Slot {
    void** address;
    void* original;
    bool readOnly;  // after relocation the linker made the page read-only (PT_GNU_RELRO)
  };

 private:
  struct Object {
    std::string path;
    size_t base;
    std::vector<Slot> slots;
  };
  std::vector<Object> objects_;
};

}  // namespace soft

// One list of the functions that are answered here, for both ways of getting in the way of their callers: writing them
// into the callers' global offset tables (got.h), and exporting them under the C library's own names (EXPORT_AS), where
// this library is preloaded and so comes first in everybody's search.
#pragma once

#include <vector>

namespace soft {

struct Replacement {
  const char* name;
  void* function;
};

// Calls that name a path (hooks/paths.cc). Preloaded they are everybody's: a program, its libraries, and what those
// load later.
const std::vector<Replacement>& pathReplacements();

// Calls that name a descriptor of ibverbs (hooks/descriptors.cc). They are libibverbs' own and those of the libraries
// on it: everybody else's read, write, close, mmap, poll go straight to the C library.
const std::vector<Replacement>& descriptorReplacements();

// Patches what is loaded by now and needs it (hooks/hooks.cc).
void patchLoaded();

}  // namespace soft

// Exports `function`, an extern "C" one of the same file, as `name`. The assembler does it, since C++ would have `name`
// declared as the headers declare it: variadic, or noexcept, or with two types of one size.
#define EXPORT_AS(name, function) asm(".globl " #name "\n\t.type " #name ",%function\n\t.set " #name "," #function);

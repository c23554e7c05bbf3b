// Answers the calls that go to the kernel's RDMA support: of the verbs libraries, where this library is loaded by a
// program, and of everybody where it is preloaded.
#pragma once

namespace soft {

// Puts the hooks into the verbs libraries that are loaded, and into those that libibverbs loads later. Loads libibverbs
// when it is not there yet. Any number of times. False when there is no libibverbs.
bool installHooks();

}  // namespace soft

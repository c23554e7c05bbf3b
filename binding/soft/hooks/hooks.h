// Answers the calls of libibverbs and libmlx5 that go to the kernel's RDMA support.
#pragma once

namespace soft {

// Puts the hooks into the libraries of those names that are loaded, and into those that libibverbs loads later. Loads
// libibverbs when it is not there yet. Any number of times. False when there is no libibverbs.
bool installHooks();

}  // namespace soft

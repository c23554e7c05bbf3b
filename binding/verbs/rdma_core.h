// libibverbs, opened at run time: the addon loads on every machine, and where the library is missing it says so.
//
// The exported functions of libibverbs that we use are defined here, hidden, under their own names, and forward to
// the real ones. So the headers' inlines and macros (ibv_poll_cq, ibv_post_send, ibv_query_gid_table, …) work
// unchanged. A function that the installed library lacks fails with ENOSYS.
#pragma once

#include <infiniband/verbs.h>

#include <string>

namespace rdma_core {

// Opens libibverbs on the first call. Empty if it is loaded, else the message of dlerror(3).
const std::string& unavailable();

// The file that libibverbs was loaded from; empty when it could not be loaded.
std::string libraryPath();

}  // namespace rdma_core

// The answer to an ioctl on a uverbs device file (rdma/rdma_user_ioctl_cmds.h).
#pragma once

namespace soft::uverbs {

// There is no method here, so always an errno. ENOTTY for what has a write() form as well: on that alone libibverbs
// goes on to write its command (cmd_fallback.c). EOPNOTSUPP for what exists as an ioctl only, as of a device that
// cannot do it.
int ioctlError(unsigned long request, const void* argument);

}  // namespace soft::uverbs

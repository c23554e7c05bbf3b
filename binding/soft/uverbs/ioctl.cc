#include "uverbs/ioctl.h"

#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl.h>

#include <cerrno>

#include "uverbs/user_memory.h"

namespace soft::uverbs {
namespace {

// The methods that libibverbs has a second way for: a command to write, or sysfs (GIDs).
bool hasAnotherWay(uint16_t object, uint16_t method) {
  constexpr uint16_t kRegMr = 5;  // UVERBS_METHOD_REG_MR, since Linux 6.17
  switch (object) {
    case UVERBS_OBJECT_DEVICE: return method != UVERBS_METHOD_INFO_HANDLES && method != UVERBS_METHOD_QUERY_CONTEXT;
    case UVERBS_OBJECT_MR: return method == UVERBS_METHOD_MR_DESTROY || method == kRegMr;
    case UVERBS_OBJECT_PD:
    case UVERBS_OBJECT_CQ:
    case UVERBS_OBJECT_QP:
    case UVERBS_OBJECT_SRQ:
    case UVERBS_OBJECT_AH:
    case UVERBS_OBJECT_MW:
    case UVERBS_OBJECT_FLOW:
    case UVERBS_OBJECT_XRCD:
    case UVERBS_OBJECT_RWQ_IND_TBL:
    case UVERBS_OBJECT_WQ:
      // Create and destroy, the first two of each; what a driver adds begins at UVERBS_ID_DRIVER_NS.
      return method <= 1;
    default: return false;
  }
}

}  // namespace

int ioctlError(unsigned long request, const void* argument) {
  ib_uverbs_ioctl_hdr header;
  if (request != RDMA_VERBS_IOCTL) return ENOTTY;
  if (copyFromUser(&header, reinterpret_cast<uint64_t>(argument), sizeof header)) return EFAULT;
  return hasAnotherWay(header.object_id, header.method_id) ? ENOTTY : EOPNOTSUPP;
}

}  // namespace soft::uverbs

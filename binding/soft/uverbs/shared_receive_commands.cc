// Shared receive queues: CREATE_SRQ, CREATE_XSRQ (the basic type), MODIFY_SRQ, QUERY_SRQ, DESTROY_SRQ.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include "uverbs/limits.h"
#include "uverbs/receive_ring.h"
#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

uint32_t shiftOf(uint32_t value) {
  uint32_t shift = 0;
  while ((1u << shift) < value) shift++;
  return shift;
}

// The ring's shape is not in mlx5_ib_create_srq: both sides compute it (drivers/infiniband/hw/mlx5/srq.c,
// mlx5_ib_create_srq; libmlx5's mlx5_alloc_srq_buf): one WQE is mlx5_wqe_srq_next_seg and the scatter entries, rounded
// up.
int create(VerbsFile& file, const Command& command, const ib_uverbs_create_srq& request,
           const mlx5_ib_create_srq& driver) {
  const auto domain = file.domains.find(request.pd_handle);
  if (!domain || driver.flags & ~static_cast<uint32_t>(MLX5_SRQ_FLAG_SIGNATURE)) return EINVAL;
  // srq_limit says nothing here (ibv_create_srq(3)).
  if (request.max_wr == 0 || request.max_wr >= limits::kReceiveRequests) return EINVAL;
  if (request.max_sge > limits::kSharedReceiveSge) return EINVAL;
  constexpr uint32_t kNextSegment = 16, kScatterEntry = 16;
  const uint32_t shift = shiftOf(std::max(32u, kNextSegment + request.max_sge * kScatterEntry));
  auto queue = std::make_shared<SharedReceiveQueue>();
  Place place = file.sharedReceiveQueues.reserve();
  if (!place) return ENOMEM;
  SharedReceiveQueueAttributes attributes;
  const ReceiveRingRequest ring{driver.buf_addr, driver.db_addr, 1u << shiftOf(request.max_wr + 1), shift,
                                (driver.flags & MLX5_SRQ_FLAG_SIGNATURE) != 0};
  if (const int error = receiveRing(ring, &attributes.ring)) return error;
  attributes.pd = domain->pdn;
  attributes.userIndex = driver.uidx & 0xffffff;
  attributes.cookie = static_cast<EventSource*>(queue.get());
  queue->userHandle = request.user_handle;
  queue->asynchronousFile = file.asynchronousFile;
  queue->maxWr = ring.count - 1;
  queue->maxSge = ((1u << shift) - kNextSegment) / kScatterEntry;
  if (const int error = file.nic().createSharedReceiveQueue(attributes, &queue->srqn)) return error;
  ib_uverbs_create_srq_resp response{};
  response.max_wr = queue->maxWr;
  response.max_sge = queue->maxSge;
  response.srqn = queue->srqn;
  response.srq_handle = file.sharedReceiveQueues.add(queue, place);
  mlx5_ib_create_srq_resp answer{};
  answer.srqn = queue->srqn;
  const int error = command.respond(response, answer);
  if (error) {
    file.nic().destroySharedReceiveQueue(queue->srqn);
    file.sharedReceiveQueues.remove(response.srq_handle);
  }
  return error;
}

int createQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_create_srq request;
  mlx5_ib_create_srq driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_srq, reserved0)) return EINVAL;
  return create(file, command, request, driver);
}

int createExtendedQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_create_xsrq request;
  mlx5_ib_create_srq driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_srq, reserved0)) return EINVAL;
  if (request.srq_type != IBV_SRQT_BASIC) return EOPNOTSUPP;  // XRC, tag matching
  ib_uverbs_create_srq basic{};
  basic.user_handle = request.user_handle;
  basic.pd_handle = request.pd_handle;
  basic.max_wr = request.max_wr;
  basic.max_sge = request.max_sge;
  basic.srq_limit = request.srq_limit;
  return create(file, command, basic, driver);
}

int modifyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_modify_srq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.sharedReceiveQueues.find(request.srq_handle);
  // As mlx5: a queue cannot be resized.
  if (!queue || request.attr_mask & IBV_SRQ_MAX_WR) return EINVAL;
  if (!(request.attr_mask & IBV_SRQ_LIMIT)) return 0;
  if (request.srq_limit > queue->maxWr) return EINVAL;
  return file.nic().setSharedReceiveQueueLimit(queue->srqn, request.srq_limit);
}

int queryQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_query_srq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.sharedReceiveQueues.find(request.srq_handle);
  if (!queue) return EINVAL;
  ib_uverbs_query_srq_resp response{};
  if (const int error = file.nic().sharedReceiveQueueLimit(queue->srqn, &response.srq_limit)) return error;
  response.max_wr = queue->maxWr;
  response.max_sge = queue->maxSge;
  return command.respond(response);
}

int destroyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_destroy_srq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.sharedReceiveQueues.find(request.srq_handle);
  if (!queue) return ENOENT;
  if (const int error = file.nic().destroySharedReceiveQueue(queue->srqn)) return error;
  file.sharedReceiveQueues.remove(request.srq_handle);
  ib_uverbs_destroy_srq_resp response{};
  response.events_reported = queue->asynchronousEventsRead();
  return command.respond(response);
}

}  // namespace

const std::vector<CommandEntry> sharedReceiveCommands{
    {IB_USER_VERBS_CMD_CREATE_SRQ, false, createQueue},   {IB_USER_VERBS_CMD_CREATE_XSRQ, false, createExtendedQueue},
    {IB_USER_VERBS_CMD_MODIFY_SRQ, false, modifyQueue},   {IB_USER_VERBS_CMD_QUERY_SRQ, false, queryQueue},
    {IB_USER_VERBS_CMD_DESTROY_SRQ, false, destroyQueue},
};

}  // namespace soft::uverbs

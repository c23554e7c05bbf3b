// Completion channels and completion queues.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include "driver/driver.h"
#include "uverbs/limits.h"
#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

int createChannel(VerbsFile& file, const Command& command) {
  ib_uverbs_create_comp_channel request;
  if (const int error = command.request(&request)) return error;
  int error;
  const auto channel = file.newEventFile(&error);
  if (error) return error;
  ib_uverbs_create_comp_channel_resp response{};
  response.fd = static_cast<uint32_t>(channel->descriptor());
  error = command.respond(response);
  if (error) file.discard(channel);
  return error;
}

uint64_t roundUp(uint64_t value) {
  uint64_t power = 1;
  while (power < value) power <<= 1;
  return power;
}

// cq.c, mini_cqe_res_format_to_hw: exactly one of the bits of mlx5_ib_cqe_comp_res_format.
int compressionOf(uint8_t format, CqeCompression* compression) {
  switch (format) {
    case MLX5_IB_CQE_RES_FORMAT_HASH: *compression = CqeCompression::hash; return 0;
    case MLX5_IB_CQE_RES_FORMAT_CSUM: *compression = CqeCompression::checksum; return 0;
    case MLX5_IB_CQE_RES_FORMAT_CSUM_STRIDX: *compression = CqeCompression::checksumStride; return 0;
    default: return EINVAL;
  }
}

// The part that both requests have, and mlx5_ib_create_cq: drivers/infiniband/hw/mlx5/cq.c, mlx5_ib_create_cq
int create(VerbsFile& file, const ib_uverbs_ex_create_cq& request, const mlx5_ib_create_cq& driver, size_t driverSize,
           std::shared_ptr<CompletionQueue>* created, uint32_t* entries) {
  constexpr uint32_t kFlags = IB_UVERBS_CQ_FLAGS_TIMESTAMP_COMPLETION | IB_UVERBS_CQ_FLAGS_IGNORE_OVERRUN;
  // Shorter only by what came later than cqe_comp_en.
  if (driverSize < offsetof(mlx5_ib_create_cq, cqe_comp_en)) return EINVAL;
  if (request.cqe == 0 || request.cqe >= limits::kCompletions) return EINVAL;
  if (request.flags & ~kFlags) return EOPNOTSUPP;
  if (request.comp_vector >= limits::completionVectors()) return EINVAL;
  if (driver.cqe_size != 64 && driver.cqe_size != 128) return EINVAL;
  if (driver.flags & ~static_cast<uint32_t>(MLX5_IB_CREATE_CQ_FLAGS_CQE_128B_PAD)) return EOPNOTSUPP;
  if ((driver.flags & MLX5_IB_CREATE_CQ_FLAGS_CQE_128B_PAD) && driver.cqe_size != 128) return EOPNOTSUPP;

  auto queue = std::make_shared<CompletionQueue>();
  if (request.comp_channel >= 0) {
    queue->channel = file.channel(request.comp_channel);
    if (!queue->channel || queue->channel == file.asynchronousFile) return EINVAL;
  }
  queue->userHandle = request.user_handle;
  queue->asynchronousFile = file.asynchronousFile;
  *entries = static_cast<uint32_t>(roundUp(uint64_t{request.cqe} + 1));
  if (driver.db_addr & 7) return EINVAL;
  if (const int error = populate(driver.buf_addr, uint64_t{*entries} * driver.cqe_size, true)) return error;
  if (const int error = populate(driver.db_addr, 8, true)) return error;
  CompletionQueueAttributes attributes;
  if (driver.cqe_comp_en == 1) {
    if (const int error = compressionOf(driver.cqe_comp_res_format, &attributes.compression)) return error;
  }
  attributes.buffer = reinterpret_cast<void*>(driver.buf_addr);
  attributes.entries = *entries;
  attributes.cqeSize = driver.cqe_size;
  attributes.doorbell = reinterpret_cast<void*>(driver.db_addr);
  attributes.ignoreOverrun = request.flags & IB_UVERBS_CQ_FLAGS_IGNORE_OVERRUN;
  if (request.flags & IB_UVERBS_CQ_FLAGS_TIMESTAMP_COMPLETION) attributes.clock = monotonicNow;
  attributes.bell = file.armRegister();
  attributes.cookie = static_cast<EventSource*>(queue.get());
  if (const int error = file.nic().createCompletionQueue(attributes, &queue->cqn)) return error;
  file.holdStores(attributes.bell);
  *created = std::move(queue);
  return 0;
}

template <typename Response>
int finish(VerbsFile& file, const Command& command, const std::shared_ptr<CompletionQueue>& queue, uint32_t entries,
           Response response, Place& place) {
  mlx5_ib_create_cq_resp driver{};
  driver.cqn = queue->cqn;
  auto& base = reinterpret_cast<ib_uverbs_create_cq_resp&>(response);  // the first member of both
  base.cqe = entries - 1;
  base.cq_handle = file.completionQueues.add(queue, place);
  const uint32_t handle = base.cq_handle;
  const int error = command.respond(response, driver);
  if (error) {
    file.nic().destroyCompletionQueue(queue->cqn);
    file.completionQueues.remove(handle);
  }
  return error;
}

int createQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_create_cq request;
  mlx5_ib_create_cq driver;
  if (const int error = command.request(&request, &driver)) return error;
  ib_uverbs_ex_create_cq all{};
  all.user_handle = request.user_handle;
  all.cqe = request.cqe;
  all.comp_vector = request.comp_vector;
  all.comp_channel = request.comp_channel;
  Place place = file.completionQueues.reserve();
  if (!place) return ENOMEM;
  std::shared_ptr<CompletionQueue> queue;
  uint32_t entries;
  if (const int error = create(file, all, driver, command.driverSize(sizeof request), &queue, &entries)) return error;
  return finish(file, command, queue, entries, ib_uverbs_create_cq_resp{}, place);
}

int createQueueExtended(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_create_cq request;
  mlx5_ib_create_cq driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (request.comp_mask || request.reserved) return EINVAL;
  Place place = file.completionQueues.reserve();
  if (!place) return ENOMEM;
  std::shared_ptr<CompletionQueue> queue;
  uint32_t entries;
  if (const int error = create(file, request, driver, command.driverSize(sizeof request), &queue, &entries))
    return error;
  ib_uverbs_ex_create_cq_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  return finish(file, command, queue, entries, response, place);
}

// drivers/infiniband/core/uverbs_cmd.c, ib_uverbs_ex_modify_cq; cq.c, mlx5_ib_modify_cq
int modifyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_modify_cq request;
  if (const int error = command.request(&request)) return error;
  if (request.attr_mask == 0) return EINVAL;
  if (request.attr_mask & ~static_cast<uint32_t>(IBV_CQ_ATTR_MODERATE)) return EOPNOTSUPP;
  const auto queue = file.completionQueues.find(request.cq_handle);
  if (!queue || request.attr.cq_period > limits::kModerationPeriod) return EINVAL;
  return file.nic().moderateCompletionQueue(queue->cqn, request.attr.cq_count, request.attr.cq_period);
}

// mlx5_ib_resize_cq: the new ring's memory comes with the request
int resizeQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_resize_cq request;
  mlx5_ib_resize_cq driver;
  if (const int error = command.request(&request, &driver)) return error;
  const auto queue = file.completionQueues.find(request.cq_handle);
  if (!queue || command.driverSize(sizeof request) < offsetof(mlx5_ib_resize_cq, reserved1)) return EINVAL;
  if (request.cqe == 0 || request.cqe >= limits::kCompletions) return EINVAL;
  if (driver.cqe_size != 64 && driver.cqe_size != 128) return EINVAL;
  const auto entries = static_cast<uint32_t>(roundUp(uint64_t{request.cqe} + 1));
  if (const int error = populate(driver.buf_addr, uint64_t{entries} * driver.cqe_size, true)) return error;
  if (const int error = file.nic().resizeCompletionQueue(queue->cqn, reinterpret_cast<void*>(driver.buf_addr), entries,
                                                         driver.cqe_size)) {
    return error;
  }
  ib_uverbs_resize_cq_resp response{};
  response.cqe = entries - 1;
  return command.respond(response);
}

int destroyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_destroy_cq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.completionQueues.find(request.cq_handle);
  if (!queue) return ENOENT;
  if (const int error = file.nic().destroyCompletionQueue(queue->cqn)) return error;
  file.completionQueues.remove(request.cq_handle);
  ib_uverbs_destroy_cq_resp response{};
  if (queue->channel) {
    const uint32_t unread = queue->channel->purge(queue->userHandle);
    response.comp_events_reported = queue->completionEvents - unread;
  }
  response.async_events_reported = queue->asynchronousEventsRead();
  return command.respond(response);
}

}  // namespace

const std::vector<CommandEntry> completionCommands{
    {IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL, false, createChannel}, {IB_USER_VERBS_CMD_CREATE_CQ, false, createQueue},
    {IB_USER_VERBS_EX_CMD_CREATE_CQ, true, createQueueExtended},   {IB_USER_VERBS_CMD_RESIZE_CQ, false, resizeQueue},
    {IB_USER_VERBS_EX_CMD_MODIFY_CQ, true, modifyQueue},           {IB_USER_VERBS_CMD_DESTROY_CQ, false, destroyQueue},
};

}  // namespace soft::uverbs

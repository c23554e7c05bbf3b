// Receive work queues and the indirection tables that RSS spreads frames over.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include "nic/limits.h"
#include "uverbs/limits.h"
#include "uverbs/receive_ring.h"
#include "uverbs/verbs_file.h"

namespace soft::uverbs {
namespace {

// qp.c, prepare_user_rq.
int strided(const mlx5_ib_create_wq& driver, Striding* striding) {
  if (driver.comp_mask & ~static_cast<uint32_t>(MLX5_IB_CREATE_WQ_STRIDING_RQ)) return EOPNOTSUPP;
  if (!(driver.comp_mask & MLX5_IB_CREATE_WQ_STRIDING_RQ)) return 0;
  const uint32_t bytes = driver.single_stride_log_num_of_bytes, count = driver.single_wqe_log_num_of_strides;
  if (!validStrides(bytes, count)) return EINVAL;
  striding->logStrideBytes = static_cast<uint8_t>(bytes);
  striding->logStrides = static_cast<uint8_t>(count);
  striding->shift = driver.two_byte_shift_en != 0;
  return 0;
}

int createQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_create_wq request;
  mlx5_ib_create_wq driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_wq, single_stride_log_num_of_bytes)) return EINVAL;
  constexpr uint32_t kFlags = IBV_WQ_FLAGS_CVLAN_STRIPPING | IBV_WQ_FLAGS_SCATTER_FCS;
  if (request.comp_mask || request.wq_type != IBV_WQT_RQ) return EINVAL;
  if (request.create_flags & ~kFlags) return EOPNOTSUPP;
  if (driver.flags & ~static_cast<uint32_t>(MLX5_WQ_FLAG_SIGNATURE)) return EINVAL;
  const auto domain = file.domains.find(request.pd_handle);
  const auto completions = file.completionQueues.find(request.cq_handle);
  if (!domain || !completions) return EINVAL;
  auto queue = std::make_shared<WorkQueue>();
  Place place = file.workQueues.reserve();
  if (!place) return ENOMEM;
  WorkQueueAttributes attributes;
  if (const int error = strided(driver, &attributes.striding)) return error;
  const ReceiveRingRequest ring{driver.buf_addr, driver.db_addr, driver.rq_wqe_count, driver.rq_wqe_shift,
                                (driver.flags & MLX5_WQ_FLAG_SIGNATURE) != 0};
  if (const int error = receiveRing(ring, &attributes.ring)) return error;
  attributes.pd = domain->pdn;
  attributes.cq = completions->cqn;
  attributes.userIndex = driver.user_index & 0xffffff;
  attributes.stripVlan = request.create_flags & IBV_WQ_FLAGS_CVLAN_STRIPPING;
  attributes.scatterFcs = request.create_flags & IBV_WQ_FLAGS_SCATTER_FCS;
  attributes.cookie = static_cast<EventSource*>(queue.get());
  queue->userHandle = request.user_handle;
  queue->asynchronousFile = file.asynchronousFile;
  if (const int error = file.nic().createWorkQueue(attributes, &queue->wqn)) return error;
  ib_uverbs_ex_create_wq_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  response.wq_handle = file.workQueues.add(queue, place);
  response.max_wr = request.max_wr;
  response.max_sge = request.max_sge;
  response.wqn = queue->wqn;
  mlx5_ib_create_wq_resp answer{};
  answer.response_length = command.driverRoom(sizeof response, sizeof answer);
  const int error = command.respond(response, answer);
  if (error) {
    file.nic().destroyWorkQueue(queue->wqn);
    file.workQueues.remove(response.wq_handle);
  }
  return error;
}

int modifyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_modify_wq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.workQueues.find(request.wq_handle);
  constexpr uint32_t kMask = IBV_WQ_ATTR_STATE | IBV_WQ_ATTR_CURR_STATE | IBV_WQ_ATTR_FLAGS;
  if (!queue || !request.attr_mask || request.attr_mask & ~kMask) return EINVAL;
  if ((request.attr_mask & IBV_WQ_ATTR_STATE) && request.wq_state > IBV_WQS_ERR) return EINVAL;
  if (request.attr_mask & IBV_WQ_ATTR_FLAGS) {
    if (request.flags_mask != IBV_WQ_FLAGS_CVLAN_STRIPPING) return EOPNOTSUPP;
    const bool strip = request.flags & IBV_WQ_FLAGS_CVLAN_STRIPPING;
    if (const int error = file.nic().setWorkQueueVlanStripping(queue->wqn, strip)) return error;
  }
  if (!(request.attr_mask & IBV_WQ_ATTR_STATE)) return 0;
  return file.nic().modifyWorkQueue(queue->wqn, static_cast<WorkQueueState>(request.wq_state));
}

int destroyQueue(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_destroy_wq request;
  if (const int error = command.request(&request)) return error;
  const auto queue = file.workQueues.find(request.wq_handle);
  if (request.comp_mask) return EINVAL;
  if (!queue) return ENOENT;
  if (const int error = file.nic().destroyWorkQueue(queue->wqn)) return error;
  file.workQueues.remove(request.wq_handle);
  ib_uverbs_ex_destroy_wq_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  response.events_reported = queue->asynchronousEventsRead();
  return command.respond(response);
}

int createTable(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_create_rwq_ind_table request;
  if (const int error = command.request(&request)) return error;
  if (request.comp_mask || request.log_ind_tbl_size > IB_USER_VERBS_MAX_LOG_IND_TBL_SIZE) return EINVAL;
  const size_t count = size_t{1} << request.log_ind_tbl_size;
  if (count > limits::kIndirectionTable || command.tailSize(sizeof request) < count * sizeof(uint32_t)) return EINVAL;
  std::vector<uint32_t> numbers;
  for (size_t i = 0; i < count; i++) {
    uint32_t handle;
    memcpy(&handle, command.tail(sizeof request) + i * sizeof handle, sizeof handle);
    const auto queue = file.workQueues.find(handle);
    if (!queue) return EINVAL;
    numbers.push_back(queue->wqn);
  }
  auto table = std::make_shared<IndirectionTable>();
  Place place = file.indirectionTables.reserve();
  if (!place) return ENOMEM;
  if (const int error = file.nic().createIndirectionTable(numbers, &table->number)) return error;
  ib_uverbs_ex_create_rwq_ind_table_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  response.ind_tbl_num = table->number;
  response.ind_tbl_handle = file.indirectionTables.add(table, place);
  mlx5_ib_create_rwq_ind_tbl_resp driver{};
  driver.response_length = command.driverRoom(sizeof response, sizeof driver);
  const int error = command.respond(response, driver);
  if (error) {
    file.nic().destroyIndirectionTable(table->number);
    file.indirectionTables.remove(response.ind_tbl_handle);
  }
  return error;
}

int destroyTable(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_destroy_rwq_ind_table request;
  if (const int error = command.request(&request)) return error;
  const auto table = file.indirectionTables.find(request.ind_tbl_handle);
  if (request.comp_mask) return EINVAL;
  if (!table) return ENOENT;
  if (const int error = file.nic().destroyIndirectionTable(table->number)) return error;
  file.indirectionTables.remove(request.ind_tbl_handle);
  return 0;
}

}  // namespace

const std::vector<CommandEntry> workQueueCommands{
    {IB_USER_VERBS_EX_CMD_CREATE_WQ, true, createQueue},
    {IB_USER_VERBS_EX_CMD_MODIFY_WQ, true, modifyQueue},
    {IB_USER_VERBS_EX_CMD_DESTROY_WQ, true, destroyQueue},
    {IB_USER_VERBS_EX_CMD_CREATE_RWQ_IND_TBL, true, createTable},
    {IB_USER_VERBS_EX_CMD_DESTROY_RWQ_IND_TBL, true, destroyTable},
};

}  // namespace soft::uverbs

// CREATE_QP and EX_CREATE_QP (ib_uverbs_create_qp, ib_uverbs_ex_create_qp; mlx5_ib_create_qp, mlx5_ib_create_qp_rss),
// and DESTROY_QP.
#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include <algorithm>

#include "uverbs/limits.h"
#include "uverbs/queue_pair_commands.h"
#include "uverbs/receive_ring.h"

namespace soft::uverbs {
namespace {

constexpr uint32_t kDriverFlags = MLX5_QP_FLAG_SIGNATURE | MLX5_QP_FLAG_SCATTER_CQE | MLX5_QP_FLAG_TUNNEL_OFFLOADS |
                                  MLX5_QP_FLAG_BFREG_INDEX | MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_UC |
                                  MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_MC | MLX5_QP_FLAG_ALLOW_SCATTER_CQE;

// ib_qp_create_flags (include/rdma/ib_verbs.h) under the names that verbs.h gives them
constexpr uint32_t kCreateFlags =
    IBV_QP_CREATE_BLOCK_SELF_MCAST_LB | IBV_QP_CREATE_SCATTER_FCS | IBV_QP_CREATE_CVLAN_STRIPPING;

bool isPowerOfTwo(uint32_t value) { return value && !(value & (value - 1)); }

// The rings of a queue pair: drivers/infiniband/hw/mlx5/qp.c, set_user_buf_size and _create_user_qp. A raw packet queue
// pair has a buffer for each, the others have the send ring behind the receive ring.
int setRings(const mlx5_ib_create_qp& driver, bool usesSharedReceive, QueuePairAttributes* attributes) {
  const bool raw = attributes->type == QueuePairType::rawPacket;
  if (driver.db_addr & 7) return EINVAL;
  if (const int error = populate(driver.db_addr, 8, true)) return error;
  auto* doorbells = reinterpret_cast<uint32_t*>(driver.db_addr);
  uint64_t receiveBytes = 0;
  if (!usesSharedReceive && driver.rq_wqe_count) {
    const ReceiveRingRequest request{driver.buf_addr, driver.db_addr, driver.rq_wqe_count, driver.rq_wqe_shift,
                                     (driver.flags & MLX5_QP_FLAG_SIGNATURE) != 0};
    if (const int error = receiveRing(request, &attributes->rq)) return error;
    receiveBytes = uint64_t{driver.rq_wqe_count} << driver.rq_wqe_shift;
  }
  if (driver.sq_wqe_count) {
    if (!isPowerOfTwo(driver.sq_wqe_count) || driver.sq_wqe_count > limits::kSendBlocks) return EINVAL;
    const uint64_t address = raw ? driver.sq_buf_addr : driver.buf_addr + receiveBytes;
    if (address & 63) return EINVAL;
    if (const int error = populate(address, uint64_t{driver.sq_wqe_count} * 64, false)) return error;
    attributes->sq.buffer = reinterpret_cast<void*>(address);
    attributes->sq.count = driver.sq_wqe_count;
    attributes->sq.doorbell = doorbells + 1;  // MLX5_SND_DBR
  }
  return 0;
}

int createOrdinary(VerbsFile& file, const ib_uverbs_ex_create_qp& request, const mlx5_ib_create_qp& driver,
                   QueuePair* pair) {
  QueuePairAttributes attributes;
  switch (request.qp_type) {
    case IBV_QPT_RC: attributes.type = QueuePairType::rc; break;
    case IBV_QPT_UC: attributes.type = QueuePairType::uc; break;
    case IBV_QPT_UD: attributes.type = QueuePairType::ud; break;
    case IBV_QPT_RAW_PACKET: attributes.type = QueuePairType::rawPacket; break;
    default: return EOPNOTSUPP;  // XRC, driver types (DC)
  }
  const bool raw = attributes.type == QueuePairType::rawPacket;
  if (driver.flags & ~kDriverFlags || request.create_flags & ~kCreateFlags) return EOPNOTSUPP;
  constexpr uint32_t kRawOnly = IBV_QP_CREATE_SCATTER_FCS | IBV_QP_CREATE_CVLAN_STRIPPING;
  if (!raw && (request.create_flags & kRawOnly)) return EINVAL;
  if (request.max_send_wr > limits::kSendBlocks || request.max_recv_wr > limits::kReceiveRequests) return EINVAL;

  const auto domain = file.domains.find(request.pd_handle);
  const auto sendQueue = file.completionQueues.find(request.send_cq_handle);
  const auto receiveQueue = file.completionQueues.find(request.recv_cq_handle);
  if (!domain || !sendQueue || !receiveQueue) return EINVAL;
  attributes.pd = domain->pdn;
  attributes.sendCq = sendQueue->cqn;
  attributes.receiveCq = receiveQueue->cqn;
  if (request.is_srq) {
    const auto shared = file.sharedReceiveQueues.find(request.srq_handle);
    if (!shared || raw) return EINVAL;
    attributes.srq = shared->srqn;
  }
  if (const int error = setRings(driver, request.is_srq, &attributes)) return error;
  // A thread domain's queue pair comes with its register, the others are dealt them out.
  const bool dynamic = driver.flags & MLX5_QP_FLAG_BFREG_INDEX;
  pair->blueFlame = dynamic ? driver.bfreg_index : file.nextRegister();
  attributes.sq.bell = file.blueFlame(pair->blueFlame, dynamic);
  attributes.sq.ownBell = dynamic;
  attributes.userIndex = driver.uidx & 0xffffff;
  attributes.stripVlan = request.create_flags & IBV_QP_CREATE_CVLAN_STRIPPING;
  attributes.scatterFcs = request.create_flags & IBV_QP_CREATE_SCATTER_FCS;
  attributes.signalAll = request.sq_sig_all;
  // qp.c, create_user_qp: cs_res of RC and UC, cs_req of RC where every request is signaled or the flag allows it
  // (configure_requester_scat_cqe).
  const bool connected = attributes.type == QueuePairType::rc || attributes.type == QueuePairType::uc;
  attributes.scatterReceives = connected && (driver.flags & MLX5_QP_FLAG_SCATTER_CQE);
  attributes.scatterRequests = attributes.scatterReceives && attributes.type == QueuePairType::rc &&
                               (request.sq_sig_all || (driver.flags & MLX5_QP_FLAG_ALLOW_SCATTER_CQE));
  attributes.transportDomain = file.transportDomain;
  attributes.ownUnicast = raw && (driver.flags & MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_UC);
  attributes.ownGroups = raw && (driver.flags & MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_MC);
  attributes.cookie = static_cast<EventSource*>(pair);
  pair->type = attributes.type;
  // What mlx5_ib_query_qp and the creation's answer tell of the receive side is the ring's own size.
  pair->maxReceiveWr = attributes.rq.count;
  const uint32_t stride = 1u << attributes.rq.strideShift;
  pair->maxReceiveSge = attributes.rq.count ? (stride - (attributes.rq.signature ? 16 : 0)) / 16 : 0;
  const int error = file.nic().createQueuePair(attributes, &pair->qpn);
  if (error == 0 && dynamic) file.holdStores(attributes.sq.bell);
  return error;
}

// A queue pair that only spreads what it is steered over an indirection table: qp.c, mlx5_ib_create_rss_qp
int createRss(VerbsFile& file, const ib_uverbs_ex_create_qp& request, const mlx5_ib_create_qp_rss& driver,
              QueuePair* pair) {
  constexpr uint32_t kFlags =
      MLX5_QP_FLAG_TUNNEL_OFFLOADS | MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_UC | MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_MC;
  constexpr uint64_t kFields = 0xff;  // MLX5_RX_HASH_SRC_IPV4 … MLX5_RX_HASH_DST_PORT_UDP
  const auto domain = file.domains.find(request.pd_handle);
  const auto table = file.indirectionTables.find(request.rwq_ind_tbl_handle);
  if (!domain || !table || request.qp_type != IBV_QPT_RAW_PACKET || driver.comp_mask) return EINVAL;
  if (driver.flags & ~kFlags || request.create_flags) return EOPNOTSUPP;
  if (driver.rx_hash_function != MLX5_RX_HASH_FUNC_TOEPLITZ || driver.rx_hash_fields_mask & ~kFields) return EOPNOTSUPP;
  if (driver.rx_key_len != 40 && driver.rx_hash_fields_mask) return EINVAL;
  const bool ipv4 = driver.rx_hash_fields_mask & (MLX5_RX_HASH_SRC_IPV4 | MLX5_RX_HASH_DST_IPV4);
  const bool ipv6 = driver.rx_hash_fields_mask & (MLX5_RX_HASH_SRC_IPV6 | MLX5_RX_HASH_DST_IPV6);
  const bool tcp = driver.rx_hash_fields_mask & (MLX5_RX_HASH_SRC_PORT_TCP | MLX5_RX_HASH_DST_PORT_TCP);
  const bool udp = driver.rx_hash_fields_mask & (MLX5_RX_HASH_SRC_PORT_UDP | MLX5_RX_HASH_DST_PORT_UDP);
  if ((ipv4 && ipv6) || (tcp && udp)) return EINVAL;
  RssQueuePairAttributes attributes;
  attributes.pd = domain->pdn;
  attributes.indirectionTable = table->number;
  attributes.fields = driver.rx_hash_fields_mask;
  attributes.transportDomain = file.transportDomain;
  attributes.ownUnicast = driver.flags & MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_UC;
  attributes.ownGroups = driver.flags & MLX5_QP_FLAG_TIR_ALLOW_SELF_LB_MC;
  if (attributes.fields) attributes.key.assign(driver.rx_hash_key, driver.rx_hash_key + driver.rx_key_len);
  pair->type = QueuePairType::rawPacket;
  pair->rss = true;
  return file.nic().createRssQueuePair(attributes, &pair->qpn);
}

template <typename Response>
int finish(VerbsFile& file, const Command& command, const std::shared_ptr<QueuePair>& pair,
           const ib_uverbs_ex_create_qp& request, Response response, Place& place) {
  pair->signalAll = request.sq_sig_all;
  pair->maxSendWr = request.max_send_wr;
  pair->maxSendSge = request.max_send_sge;
  pair->maxInlineData = request.max_inline_data;
  auto& base = reinterpret_cast<ib_uverbs_create_qp_resp&>(response);  // the first member of both
  base.qpn = pair->qpn;
  base.max_send_wr = pair->maxSendWr;
  base.max_recv_wr = pair->maxReceiveWr;
  base.max_send_sge = pair->maxSendSge;
  base.max_recv_sge = pair->maxReceiveSge;
  base.max_inline_data = pair->maxInlineData;
  base.qp_handle = file.queuePairs.add(pair, place);
  const uint32_t handle = base.qp_handle;
  mlx5_ib_create_qp_resp driver{};
  driver.bfreg_index = pair->blueFlame;
  const int error = command.respond(response, driver);
  if (error) {
    file.nic().destroyQueuePair(pair->qpn);
    file.queuePairs.remove(handle);
  }
  return error;
}

std::shared_ptr<QueuePair> newPair(VerbsFile& file, uint64_t userHandle) {
  auto pair = std::make_shared<QueuePair>();
  pair->userHandle = userHandle;
  pair->asynchronousFile = file.asynchronousFile;
  return pair;
}

}  // namespace

int createQueuePair(VerbsFile& file, const Command& command) {
  ib_uverbs_create_qp request;
  mlx5_ib_create_qp driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_qp, ece_options)) return EINVAL;
  ib_uverbs_ex_create_qp all{};
  all.user_handle = request.user_handle;
  all.pd_handle = request.pd_handle;
  all.send_cq_handle = request.send_cq_handle;
  all.recv_cq_handle = request.recv_cq_handle;
  all.srq_handle = request.srq_handle;
  all.max_send_wr = request.max_send_wr;
  all.max_recv_wr = request.max_recv_wr;
  all.max_send_sge = request.max_send_sge;
  all.max_recv_sge = request.max_recv_sge;
  all.max_inline_data = request.max_inline_data;
  all.sq_sig_all = request.sq_sig_all;
  all.qp_type = request.qp_type;
  all.is_srq = request.is_srq;
  Place place = file.queuePairs.reserve();
  if (!place) return ENOMEM;
  const auto pair = newPair(file, request.user_handle);
  if (const int error = createOrdinary(file, all, driver, pair.get())) return error;
  return finish(file, command, pair, all, ib_uverbs_create_qp_resp{}, place);
}

int createQueuePairExtended(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_create_qp request;
  mlx5_ib_create_qp driver;
  if (const int error = command.request(&request, &driver)) return error;
  if (request.comp_mask & ~static_cast<uint32_t>(IB_UVERBS_CREATE_QP_SUP_COMP_MASK) || request.reserved) return EINVAL;
  Place place = file.queuePairs.reserve();
  if (!place) return ENOMEM;
  const auto pair = newPair(file, request.user_handle);
  int error;
  if (request.comp_mask & IB_UVERBS_CREATE_QP_MASK_IND_TABLE) {
    mlx5_ib_create_qp_rss rss;
    if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_qp_rss, comp_mask)) return EINVAL;
    command.request(&request, &rss);
    error = createRss(file, request, rss, pair.get());
  } else {
    if (command.driverSize(sizeof request) < offsetof(mlx5_ib_create_qp, ece_options)) return EINVAL;
    error = createOrdinary(file, request, driver, pair.get());
  }
  if (error) return error;
  ib_uverbs_ex_create_qp_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  return finish(file, command, pair, request, response, place);
}

int destroyQueuePair(VerbsFile& file, const Command& command) {
  ib_uverbs_destroy_qp request;
  if (const int error = command.request(&request)) return error;
  const auto pair = file.queuePairs.find(request.qp_handle);
  if (!pair) return ENOENT;
  // The kernel's own rule: a program must detach it from its groups first (uverbs_free_qp); the end of a process need
  // not.
  QueuePairStatus status;
  if (file.nic().queryQueuePair(pair->qpn, &status) == 0 && status.groups != 0) return EBUSY;
  if (const int error = file.nic().destroyQueuePair(pair->qpn)) return error;
  file.queuePairs.remove(request.qp_handle);
  ib_uverbs_destroy_qp_resp response{};
  response.events_reported = pair->asynchronousEventsRead();
  return command.respond(response);
}

}  // namespace soft::uverbs

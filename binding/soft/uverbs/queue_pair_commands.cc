// MODIFY_QP, EX_MODIFY_QP, QUERY_QP and multicast groups.
#include "uverbs/queue_pair_commands.h"

#include <infiniband/verbs.h>
#include <rdma/mlx5-abi.h>

#include "nic/gid.h"
#include "uverbs/limits.h"
#include "uverbs/queue_pair_state.h"

namespace soft::uverbs {
namespace {

// The queue pair's context has the logarithm only (qp.c, params1 and params2 of struct mlx5_ifc_qpc_bits).
uint8_t powerOfTwo(uint8_t value) {
  uint8_t power = 1;
  while (power < value) power = static_cast<uint8_t>(power << 1);
  return value ? power : 0;
}

uint32_t mtuBytes(uint8_t mtu) { return 128u << mtu; }  // enum ibv_mtu: 1 is 256 bytes

// The address vector of ibv_modify_qp: ib_core resolves it (drivers/infiniband/core/addr.c, GID cache).
int resolve(VerbsFile& file, const ib_uverbs_qp_dest& from, uint8_t port, PathAddress* to) {
  const auto& ports = file.device->identity.ports;
  if (port < 1 || port > ports.size()) return EINVAL;
  const auto& gids = ports[port - 1u].gids;
  if (!from.is_global || from.sgid_index >= gids.size()) return EINVAL;  // RoCE always has a global route header
  std::copy(from.dgid, from.dgid + 16, to->destinationGid.begin());
  to->sourceGid = gids[from.sgid_index].gid;
  if (!sameFamily(to->sourceGid, to->destinationGid)) return EINVAL;
  const int unresolved = file.whileOthersRun(
      [&] { return resolveMac(ports[port - 1u], from.sgid_index, to->destinationGid, &to->destinationMac); });
  if (unresolved) return unresolved;
  to->trafficClass = from.traffic_class;
  to->hopLimit = 64;  // the route's, whatever was asked for: addr.c, ib_resolve_unicast_gid_dmac
  to->flowLabel = from.flow_label;
  to->serviceLevel = from.sl;
  return 0;
}

// What mlx5_ib_modify_qp (qp.c) checks of single attributes.
int checkAttributes(const VerbsFile& file, const ib_uverbs_modify_qp& request, uint32_t mask) {
  const size_t ports = file.device->identity.ports.size();
  if ((mask & IBV_QP_PORT) && (request.port_num < 1 || request.port_num > ports)) return EINVAL;
  if ((mask & IBV_QP_PKEY_INDEX) && request.pkey_index != 0) return EINVAL;
  if ((mask & IBV_QP_MAX_QP_RD_ATOMIC) && request.max_rd_atomic > limits::kReadsAndAtomics) return EINVAL;
  if ((mask & IBV_QP_MAX_DEST_RD_ATOMIC) && request.max_dest_rd_atomic > limits::kReadsAndAtomics) return EINVAL;
  if ((mask & IBV_QP_PATH_MTU) && (request.path_mtu < IBV_MTU_256 || request.path_mtu > IBV_MTU_4096)) return EINVAL;
  if ((mask & IBV_QP_DEST_QPN) && request.dest_qp_num > 0xffffff) return EINVAL;
  if ((mask & IBV_QP_TIMEOUT) && request.timeout > 31) return EINVAL;
  if ((mask & IBV_QP_RETRY_CNT) && request.retry_cnt > 7) return EINVAL;
  if ((mask & IBV_QP_RNR_RETRY) && request.rnr_retry > 7) return EINVAL;
  if ((mask & IBV_QP_MIN_RNR_TIMER) && request.min_rnr_timer > 31) return EINVAL;
  if (mask & (IBV_QP_ALT_PATH | IBV_QP_PATH_MIG_STATE)) return EOPNOTSUPP;  // automatic path migration
  return 0;
}

int modify(VerbsFile& file, const ib_uverbs_modify_qp& request) {
  const auto pair = file.queuePairs.find(request.qp_handle);
  if (!pair) return EINVAL;
  if (pair->rss) return EOPNOTSUPP;
  QueuePairStatus status;
  if (const int error = file.nic().queryQueuePair(pair->qpn, &status)) return error;
  const uint32_t mask = request.attr_mask;
  if (mask & ~0x3ffffffu) return EINVAL;
  if (((mask & IBV_QP_STATE) && request.qp_state > IBV_QPS_ERR) ||
      ((mask & IBV_QP_CUR_STATE) && (request.cur_qp_state < IBV_QPS_RTR || request.cur_qp_state > IBV_QPS_SQE))) {
    return EINVAL;
  }
  QueuePairChange change;
  change.mask = mask;
  change.currentState = mask & IBV_QP_CUR_STATE ? static_cast<QueuePairState>(request.cur_qp_state) : status.state;
  change.state = mask & IBV_QP_STATE ? static_cast<QueuePairState>(request.qp_state) : change.currentState;
  if (!isTransition(change.currentState, change.state, pair->type, mask)) return EINVAL;
  if (const int error = checkAttributes(file, request, mask)) return error;
  change.port = request.port_num;
  change.accessFlags = request.qp_access_flags;
  change.qkey = request.qkey;
  change.pathMtu = mtuBytes(request.path_mtu);
  change.destinationQpn = request.dest_qp_num;
  change.receivePsn = request.rq_psn & 0xffffff;
  change.sendPsn = request.sq_psn & 0xffffff;
  change.maxReadAtomic = powerOfTwo(request.max_rd_atomic);
  change.maxDestinationReadAtomic = powerOfTwo(request.max_dest_rd_atomic);
  change.minRnrTimer = request.min_rnr_timer;
  change.timeout = request.timeout;
  change.retryCount = request.retry_cnt;
  change.rnrRetry = request.rnr_retry;
  if (mask & IBV_QP_AV) {
    const uint8_t port = request.dest.port_num ? request.dest.port_num : status.attributes.port;
    if (const int error = resolve(file, request.dest, port, &change.address)) return error;
    if (file.queuePairs.find(request.qp_handle) != pair) return EINVAL;  // destroyed meanwhile
  }
  if (const int error = file.nic().modifyQueuePair(pair->qpn, change)) return error;
  if (mask & IBV_QP_AV) {
    pair->sourceGidIndex = request.dest.sgid_index;
    pair->staticRate = request.dest.static_rate;
  }
  if (mask & IBV_QP_PATH_MTU) pair->pathMtu = request.path_mtu;
  return 0;
}

int modifyQueuePair(VerbsFile& file, const Command& command) {
  ib_uverbs_modify_qp request;
  if (const int error = command.request(&request)) return error;
  if (request.attr_mask & IBV_QP_RATE_LIMIT) return EOPNOTSUPP;
  return modify(file, request);
}

int modifyQueuePairExtended(VerbsFile& file, const Command& command) {
  ib_uverbs_ex_modify_qp request;
  if (const int error = command.request(&request)) return error;
  if (request.base.attr_mask & IBV_QP_RATE_LIMIT) return EOPNOTSUPP;  // no packet pacing
  if (const int error = modify(file, request.base)) return error;
  ib_uverbs_ex_modify_qp_resp response{};
  response.response_length = command.coreRoom(sizeof response);
  mlx5_ib_modify_qp_resp driver{};
  driver.response_length = command.driverRoom(sizeof response, sizeof driver);
  return command.respond(response, driver);
}

int queryQueuePair(VerbsFile& file, const Command& command) {
  ib_uverbs_query_qp request;
  if (const int error = command.request(&request)) return error;
  const auto pair = file.queuePairs.find(request.qp_handle);
  if (!pair) return EINVAL;
  if (pair->rss) return EOPNOTSUPP;
  QueuePairStatus status;
  if (const int error = file.nic().queryQueuePair(pair->qpn, &status)) return error;
  const QueuePairChange& now = status.attributes;
  ib_uverbs_query_qp_resp response{};
  std::copy(now.address.destinationGid.begin(), now.address.destinationGid.end(), response.dest.dgid);
  response.dest.flow_label = now.address.flowLabel;
  response.dest.sgid_index = pair->sourceGidIndex;
  response.dest.hop_limit = now.address.hopLimit;
  response.dest.traffic_class = now.address.trafficClass;
  response.dest.sl = now.address.serviceLevel;
  response.dest.static_rate = pair->staticRate;
  response.dest.is_global = pair->pathMtu != 0;
  response.dest.port_num = now.port;
  response.max_send_wr = pair->maxSendWr;
  response.max_recv_wr = pair->maxReceiveWr;
  response.max_send_sge = pair->maxSendSge;
  response.max_recv_sge = pair->maxReceiveSge;
  response.max_inline_data = pair->maxInlineData;
  response.qkey = now.qkey;
  response.rq_psn = now.receivePsn;
  response.sq_psn = now.sendPsn;
  response.dest_qp_num = now.destinationQpn;
  response.qp_access_flags = now.accessFlags;
  response.qp_state = response.cur_qp_state = static_cast<uint8_t>(status.state);
  response.path_mtu = pair->pathMtu;
  response.max_rd_atomic = now.maxReadAtomic;
  response.max_dest_rd_atomic = now.maxDestinationReadAtomic;
  response.min_rnr_timer = now.minRnrTimer;
  response.port_num = now.port;
  response.timeout = now.timeout;
  response.retry_cnt = now.retryCount;
  response.rnr_retry = now.rnrRetry;
  response.sq_sig_all = pair->signalAll;
  return command.respond(response);
}

// ib_uverbs_attach_mcast and ib_uverbs_detach_mcast have the same members.
template <typename Request, int (Nic::*operation)(uint32_t, const Gid&)>
int multicast(VerbsFile& file, const Command& command) {
  Request request;
  if (const int error = command.request(&request)) return error;
  const auto pair = file.queuePairs.find(request.qp_handle);
  if (!pair || pair->type != QueuePairType::ud) return EINVAL;
  Gid gid;
  std::copy(request.gid, request.gid + 16, gid.begin());
  return (file.nic().*operation)(pair->qpn, gid);
}

}  // namespace

const std::vector<CommandEntry> queuePairCommands{
    {IB_USER_VERBS_CMD_CREATE_QP, false, createQueuePair},
    {IB_USER_VERBS_EX_CMD_CREATE_QP, true, createQueuePairExtended},
    {IB_USER_VERBS_CMD_MODIFY_QP, false, modifyQueuePair},
    {IB_USER_VERBS_EX_CMD_MODIFY_QP, true, modifyQueuePairExtended},
    {IB_USER_VERBS_CMD_QUERY_QP, false, queryQueuePair},
    {IB_USER_VERBS_CMD_DESTROY_QP, false, destroyQueuePair},
    {IB_USER_VERBS_CMD_ATTACH_MCAST, false, multicast<ib_uverbs_attach_mcast, &Nic::attachMulticast>},
    {IB_USER_VERBS_CMD_DETACH_MCAST, false, multicast<ib_uverbs_detach_mcast, &Nic::detachMulticast>},
};

}  // namespace soft::uverbs

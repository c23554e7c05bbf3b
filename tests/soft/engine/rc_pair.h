// What the programs over the unmodified libibverbs share: how an RC queue pair is connected, and the clock.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <ctime>

#include "test.h"

inline uint64_t nanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Brings an RC queue pair up to RTS, connected to another one of its device or to itself. `settings`: its access flags,
// timeout and counts of retries. A timeout of 0: no retransmission makes up for a request that the NIC missed.
inline void connect(ibv_qp* pair, const ibv_qp* peer, ibv_qp_attr settings) {
  settings.qp_state = IBV_QPS_INIT;
  settings.port_num = 1;
  EQUAL(ibv_modify_qp(pair, &settings, IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX | IBV_QP_ACCESS_FLAGS), 0);
  settings.qp_state = IBV_QPS_RTR;
  settings.path_mtu = IBV_MTU_1024;
  settings.dest_qp_num = peer->qp_num;
  settings.max_dest_rd_atomic = 1;
  settings.ah_attr.is_global = 1;
  settings.ah_attr.port_num = 1;
  EQUAL(ibv_query_gid(pair->context, 1, 0, &settings.ah_attr.grh.dgid), 0);
  settings.ah_attr.grh.hop_limit = 1;
  EQUAL(ibv_modify_qp(pair, &settings,
                      IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                          IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
        0);
  settings.qp_state = IBV_QPS_RTS;
  settings.max_rd_atomic = 1;
  EQUAL(ibv_modify_qp(pair, &settings,
                      IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                          IBV_QP_MAX_QP_RD_ATOMIC),
        0);
}

#include "uverbs/queue_pair_state.h"

#include <infiniband/verbs.h>

namespace soft::uverbs {
namespace {

using State = QueuePairState;

struct Masks {
  uint32_t needed, allowed;
};

// One row for each transition that takes attributes, one column for each type.
struct Row {
  State from, to;
  Masks rc, uc, ud, raw;
};

constexpr uint32_t kMigration = IBV_QP_ALT_PATH | IBV_QP_PATH_MIG_STATE;
constexpr uint32_t kConnectedInit = IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
constexpr uint32_t kDatagramInit = IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
constexpr uint32_t kConnection = IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
constexpr uint32_t kRetry = IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
constexpr uint32_t kUcRunning = IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS | kMigration;
constexpr uint32_t kRcRunning = kUcRunning | IBV_QP_MIN_RNR_TIMER;
constexpr uint32_t kUdRunning = IBV_QP_CUR_STATE | IBV_QP_QKEY;

const Row kRows[] = {
    {State::reset, State::init, {kConnectedInit, 0}, {kConnectedInit, 0}, {kDatagramInit, 0}, {IBV_QP_PORT, 0}},
    {State::init, State::init, {0, kConnectedInit}, {0, kConnectedInit}, {0, kDatagramInit}, {0, IBV_QP_PORT}},
    {State::init,
     State::rtr,
     {kConnection | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
      IBV_QP_ALT_PATH | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX},
     {kConnection, IBV_QP_ALT_PATH | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX},
     {0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY},
     {0, 0}},
    {State::rtr,
     State::rts,
     {kRetry | IBV_QP_SQ_PSN, kRcRunning},
     {IBV_QP_SQ_PSN, kUcRunning},
     {IBV_QP_SQ_PSN, kUdRunning},
     {0, 0}},
    {State::rts, State::rts, {0, kRcRunning}, {0, kUcRunning}, {0, kUdRunning}, {0, 0}},
    {State::rts,
     State::sqd,
     {0, IBV_QP_EN_SQD_ASYNC_NOTIFY},
     {0, IBV_QP_EN_SQD_ASYNC_NOTIFY},
     {0, IBV_QP_EN_SQD_ASYNC_NOTIFY},
     {0, 0}},
    {State::sqd, State::rts, {0, kRcRunning}, {0, kUcRunning}, {0, kUdRunning}, {0, 0}},
    {State::sqd,
     State::sqd,
     {0, IBV_QP_PORT | IBV_QP_AV | kRetry | IBV_QP_MAX_DEST_RD_ATOMIC | kMigration | IBV_QP_ACCESS_FLAGS |
             IBV_QP_PKEY_INDEX | IBV_QP_MIN_RNR_TIMER},
     {0, IBV_QP_AV | kMigration | IBV_QP_ACCESS_FLAGS | IBV_QP_PKEY_INDEX},
     {0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY},
     {0, 0}},
    {State::sqe, State::rts, {0, 0}, {0, IBV_QP_CUR_STATE | IBV_QP_ACCESS_FLAGS}, {0, kUdRunning}, {0, 0}},
};

}  // namespace

bool isTransition(State from, State to, QueuePairType type, uint32_t mask) {
  uint32_t needed = 0, allowed = IBV_QP_STATE;
  // From anywhere to RESET, and to ERR from anywhere but RESET: no attributes.
  bool known = to == State::reset || (to == State::err && from != State::reset);
  for (const Row& row : kRows) {
    if (row.from != from || row.to != to) continue;
    known = true;
    const Masks& masks = type == QueuePairType::rc   ? row.rc
                         : type == QueuePairType::uc ? row.uc
                         : type == QueuePairType::ud ? row.ud
                                                     : row.raw;
    needed = masks.needed;
    allowed |= masks.needed | masks.allowed;
  }
  return known && (mask & needed) == needed && !(mask & ~allowed);
}

}  // namespace soft::uverbs

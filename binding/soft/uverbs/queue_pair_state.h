// Which attributes each change of a queue pair's state needs and allows: the InfiniBand specification's table
// "QP state transition properties", as ib_modify_qp_is_ok (drivers/infiniband/core/verbs.c) has it.
#pragma once

#include <cstdint>

#include "nic/attributes.h"

namespace soft::uverbs {

bool isTransition(QueuePairState from, QueuePairState to, QueuePairType type, uint32_t mask);

}  // namespace soft::uverbs

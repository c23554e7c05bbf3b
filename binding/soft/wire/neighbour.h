// Who answers for an IP address on an interface of this machine: the kernel's routes and neighbour table know, or ask.
#pragma once

#include <string>
#include <vector>

#include "nic/attributes.h"

namespace soft {

// The addresses of an interface, as GIDs.
std::vector<Gid> interfaceGids(const std::string& interface);

// The MAC address that packets to a GID carry on an interface, as the kernel's RDMA finds it
// (drivers/infiniband/core/addr.c): of the next hop on the way there. Where the neighbour table has no valid one the
// kernel is made to ask, and this call waits for the answer, a second at most. An errno or 0: ETIMEDOUT where nobody
// answers; ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL as the route says.
int resolveNeighbour(const std::string& interface, const Gid& gid, Mac* mac);

}  // namespace soft

// What a GID says: under which header its packets travel, whether it is a group, and whose MAC address it has. All that
// needs to know asks here: attaching to a group, address handles, the paths of queue pairs.
#pragma once

#include "nic/attributes.h"

namespace soft {

// ::ffff:a.b.c.d, as RoCE writes an IPv4 address (InfiniBand annex A17): the header is IPv4's. That of every other GID
// is IPv6's, of ff0e::ffff:a.b.c.d too, which is an IPv6 group like any other.
bool isIpv4(const Gid& gid);

// Packets go from one to the other only under one header (kernel: rdma_resolve_ip refuses two address families).
inline bool sameFamily(const Gid& one, const Gid& other) { return isIpv4(one) == isIpv4(other); }

// 224.0.0.0/4 or ff00::/8 (kernel: rdma_is_multicast_addr).
bool isGroup(const Gid& gid);

// The MAC address that packets to a GID carry. A group's: 01:00:5e and the low 23 bits of an IPv4 one (RFC 1112), 33:33
// and the last four bytes of an IPv6 one (RFC 2464, section 7). On a software wire there is no neighbour discovery
// (on an interface's there is: device/identity.h, resolveMac), so any other names its port's MAC itself: an EUI-64
// address the usual way (RFC 4291, appendix A), an IPv4 address a.b.c.d as 02:00:a:b:c:d. False for what is neither.
bool macOf(const Gid& gid, Mac* mac);

}  // namespace soft

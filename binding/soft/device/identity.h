// Who a software ConnectX is: its names, GUID, and each port's MAC address and GID table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nic/attributes.h"

namespace soft {

// An entry of a port's GID table: all are of RoCE v2, which is all that the NIC speaks (as rxe).
struct GidEntry {
  Gid gid;
  bool kernel = false;  // an address of the interface: the kernel answers for it, and knows its neighbours
};

struct PortIdentity {
  Mac mac;
  uint32_t mtu = 4096;  // the largest RDMA payload, where the wire carries it
  std::vector<GidEntry> gids;
  std::string interface;  // the interface of the machine behind the port; empty: none
};

struct DeviceIdentity {
  size_t index = 0;    // the number in its names
  std::string name;    // mlx5_soft0: what ibv_get_device_name() says
  std::string uverbs;  // uverbs_soft0: the character device's name
  uint64_t guid = 0;
  uint32_t maxObjects = 0;  // of each kind; 0: as many as limits.h says
  std::vector<PortIdentity> ports;
};

// A port's own MAC address and the table that follows from it: its link-local address (EUI-64 of the MAC, RFC 4291
// appendix A) and the IPv4 address that macOf() leads back from (nic/gid.h).
PortIdentity portIdentity(const Mac& mac);

// Makes an interface of this machine what is behind a port: its addresses are the port's as well.
void putOnInterface(const std::string& interface, PortIdentity* port);

// The MAC address that packets from the port's address at `gidIndex` to a GID carry. An errno or 0: EHOSTUNREACH where
// the GID must say it and does not; of an interface's address it is the kernel's answer (wire/neighbour.h), for which
// this call waits.
int resolveMac(const PortIdentity& port, size_t gidIndex, const Gid& gid, Mac* mac);

// A MAC address that this machine's other software ports do not have: locally administered, 02:00 and an IPv4 address
// of 10.0.0.0/8 drawn at random.
Mac randomMac();

// "02:00:0a:00:00:01"
std::string macText(const Mac& mac);

// The GUID that a card with this address has: the address with 03 00 in its middle (as a ConnectX's are seen to be).
uint64_t guidOf(const Mac& mac);

}  // namespace soft

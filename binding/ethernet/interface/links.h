// The links of a network namespace, as rtnetlink(7) reports them (RTM_GETLINK, RTM_NEWLINK).
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ethernet {

struct Link {
  int32_t index = 0;
  uint16_t type = 0;   // ARPHRD_*
  uint32_t flags = 0;  // IFF_*, all 32 bits: netdevice(7) tells the lower 16 only
  uint32_t mtu = 0;    // 0: not told
  uint8_t state = 0;   // IF_OPER_*
  std::string name;
  std::array<uint8_t, 32> address{};
  size_t addressLength = 0;

  bool up() const;
  bool carrier() const;
  // There is a carrier, and the kernel has taken notice: before that it accepts frames and drops them (linkwatch,
  // noop_qdisc).
  bool sends() const;
};

// What a message of type RTM_NEWLINK or RTM_DELLINK says.
Link linkOf(const nlmsghdr* message);

// All links, or the one with an index. Returns 0 or a positive errno, ENODEV for an unknown index.
int queryLinks(int32_t index, std::vector<Link>* links);

}  // namespace ethernet

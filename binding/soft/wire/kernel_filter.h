// What keeps frames that a flow rule took from the kernel's own stack, as a card does: there the rules of verbs come
// before the kernel's (mlx5's fs_core.c: MLX5_FLOW_NAMESPACE_BYPASS, then KERNEL, then LEFTOVERS), so that the kernel
// neither resets a TCP connection that it knows nothing of nor answers a datagram with "port unreachable".
//
// It is a table of nf_tables on the interface's ingress hook (net/core/dev.c: nf_ingress). Packet sockets come before
// that hook, so the wire still sees the frame; an XDP program would take it from both. The table belongs to a netlink
// socket (NFT_TABLE_F_OWNER, Linux 5.12): the kernel removes it when the process ends, however it does, and nobody
// else's `nft flush ruleset` touches it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nic/attributes.h"
#include "wire/netlink.h"

namespace soft {

class KernelFilter {
 public:
  explicit KernelFilter(int interfaceIndex) : index_(interfaceIndex) {}

  // From now on the kernel's stack does not get the frames of this rule. An errno or 0: EPERM without CAP_NET_ADMIN.
  int keep(uint32_t number, const FlowMatch& outer, const FlowMatch& inner);
  // It gets them again.
  void giveBack(uint32_t number);

 private:
  int makeTable();
  void begin();
  void message(uint16_t type, uint16_t flags);
  int commit(const std::function<void(const nlmsghdr&)>& answer = nullptr);

  int index_;
  NetlinkSocket socket_;
  std::string table_;  // empty while there is none
  std::map<uint32_t, std::vector<uint64_t>> handles_;
};

}  // namespace soft

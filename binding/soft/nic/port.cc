#include "nic/port.h"

#include <cerrno>
#include <cstring>

#include "nic/gid.h"
#include "nic/packet.h"

namespace soft {

namespace {

constexpr uint32_t kRoceRules = 1u << 24;  // numbers of flow rules have 24 bits

std::string reason(int error) {
  const std::string what = strerror(error);
  return what + (error == EPERM ? " (keeping them from it takes CAP_NET_ADMIN)"
                                : " (keeping them from it takes nf_tables of Linux 5.12, with the netdev family)");
}

}  // namespace

void Port::unplug() {
  giveAllBack();
  if (wire != nullptr) wire->detach(wireEnd);
  wire = nullptr;
  end = {};
}

void Port::take(uint32_t rule, const FlowMatch& outer, const FlowMatch& inner, Events& events) {
  if (wire == nullptr) return;
  const int error = wire->take(rule, outer, inner);
  if (error == 0) {
    taken.insert(rule);
  } else if (!sharing) {
    sharing = true;
    events.notice("the kernel's own stack also gets, and may answer, the frames of queue pairs and flow rules: " +
                  reason(error));
  }
}

void Port::giveBack(uint32_t rule) {
  if (taken.erase(rule) != 0) wire->giveBack(rule);
}

void Port::giveAllBack() {
  for (const uint32_t rule : taken) wire->giveBack(rule);
  taken.clear();
}

// On a card every such datagram to the port's address is the engine's from the moment RoCE is enabled (mlx5_ib's
// main.c: mlx5_nic_vport_enable_roce). Groups are left alone: the kernel's stack answers none.
void Port::takeRoce(Events& events) {
  for (const auto& [index, gid] : gids) {
    FlowMatch match;
    match.mask.ipVersion = match.mask.protocol = 0xff;
    match.value.ipVersion = isIpv4(gid) ? 4 : 6;
    match.value.protocol = kProtocolUdp;
    match.mask.destinationPort = 0xffff;
    match.value.destinationPort = kPortRoce;
    const size_t length = isIpv4(gid) ? 4 : 16;
    std::copy(gid.end() - length, gid.end(), match.value.destinationIp.begin());
    std::fill_n(match.mask.destinationIp.begin(), length, 0xff);
    take(kRoceRules + index, match, {}, events);
  }
}

void Port::giveRoceBack() {
  for (const auto& [index, gid] : gids) giveBack(kRoceRules + index);
}

}  // namespace soft

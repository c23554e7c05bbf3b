#include "wire/interface_link.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace soft {

namespace {

// IFF_RUNNING follows the carrier, but only once the kernel has activated or deactivated the transmit queues: until it
// is set the kernel drops frames silently (net/core/link_watch.c).
bool carries(unsigned flags) { return (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0; }

}  // namespace

int InterfaceLink::open(int index) {
  index_ = index;
  if (const int error = news_.open(NETLINK_ROUTE, RTMGRP_LINK)) return error;
  ask();  // only now: nothing that changes from here on is missed
  return 0;
}

bool InterfaceLink::become(bool up, uint32_t mtu) {
  const bool changed = up != up_ || mtu != mtu_;
  up_ = up;
  mtu_ = mtu;
  return changed;
}

bool InterfaceLink::ask() {
  ifreq request{};
  if (if_indextoname(static_cast<unsigned>(index_), request.ifr_name) == nullptr) return become(false, mtu_);
  // netdevice(7): any socket will do.
  if (ioctl(descriptor(), SIOCGIFFLAGS, &request) != 0) return become(false, mtu_);
  const bool up = carries(static_cast<unsigned>(request.ifr_flags));
  return become(up, ioctl(descriptor(), SIOCGIFMTU, &request) == 0 ? static_cast<uint32_t>(request.ifr_mtu) : mtu_);
}

bool InterfaceLink::next() {
  alignas(nlmsghdr) uint8_t messages[32768];  // more than the kernel puts into one (NLMSG_GOODSIZE)
  for (;;) {
    const ssize_t length = recv(descriptor(), messages, sizeof messages, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    // Messages were lost, or part of one, and nothing says which.
    const bool lost = length < 0 ? errno == ENOBUFS : static_cast<size_t>(length) > sizeof messages;
    if (length < 0 && !lost) return false;
    if (lost ? ask() : read(messages, static_cast<uint32_t>(length))) return true;
  }
}

bool InterfaceLink::read(const uint8_t* messages, uint32_t length) {
  bool changed = false;
  for (auto* header = reinterpret_cast<const nlmsghdr*>(messages); NLMSG_OK(header, length);
       header = NLMSG_NEXT(header, length)) {
    if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) continue;
    const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
    // A bridge port that leaves its bridge is an RTM_DELLINK too, of another family.
    if (link->ifi_index != index_ || link->ifi_family != AF_UNSPEC) continue;
    uint32_t mtu = mtu_;
    netlinkAttributes(IFLA_RTA(link), IFLA_PAYLOAD(header), [&](uint16_t type, const uint8_t* data, size_t size) {
      if (type == IFLA_MTU && size == sizeof mtu) std::memcpy(&mtu, data, size);
    });
    changed |= become(header->nlmsg_type == RTM_NEWLINK && carries(link->ifi_flags), mtu);
  }
  return changed;
}

int askInterface(const std::string& name, unsigned long request, ifreq* answer) {
  strncpy(answer->ifr_name, name.c_str(), sizeof answer->ifr_name - 1);
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int error = ioctl(any, request, answer) ? errno : 0;
  close(any);
  return error;
}

bool interfaceRuns(const std::string& name) {
  ifreq answer{};
  return askInterface(name, SIOCGIFFLAGS, &answer) == 0 && carries(static_cast<unsigned>(answer.ifr_flags));
}

}  // namespace soft

#include "ethernet/link_watch.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "watcher.h"

namespace ethernet {

int LinkWatch::start(Environment& environment, int32_t interfaceIndex, Callback onChange) {
  interfaceIndex_ = interfaceIndex;
  onChange_ = std::move(onChange);
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd_ < 0) return errno;
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) return errno;
  int error = 0;
  watcher_ = Watcher::start(environment, fd_, [this] { read(); }, &error);
  return error;
}

void LinkWatch::stop() {
  if (watcher_) watcher_->stop();
  watcher_ = nullptr;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

LinkState LinkWatch::ask() const {
  ifreq request{};
  if (!if_indextoname(static_cast<unsigned>(interfaceIndex_), request.ifr_name)) return {false, false, 0};
  // netdevice(7): any socket will do.
  if (ioctl(fd_, SIOCGIFFLAGS, &request)) return {errno != ENODEV, errno != ENODEV, 0};
  const bool up = request.ifr_flags & IFF_UP;
  const uint32_t mtu = ioctl(fd_, SIOCGIFMTU, &request) ? 0 : static_cast<uint32_t>(request.ifr_mtu);
  return {true, up, mtu};
}

void LinkWatch::read() {
  LinkState state{true, true, 0};
  bool changed = false;
  alignas(nlmsghdr) uint8_t buffer[16384];
  for (;;) {
    const ssize_t received = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == ENOBUFS) {
      // Messages were lost, there is no telling of what.
      state = ask();
      changed = true;
      continue;
    }
    if (received <= 0) break;
    size_t left = static_cast<size_t>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) continue;
      const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
      // A bridge port that leaves its bridge is an RTM_DELLINK too, of another family.
      if (link->ifi_index != interfaceIndex_ || link->ifi_family != AF_UNSPEC) continue;
      changed = true;
      if (header->nlmsg_type == RTM_DELLINK) state.present = false;
      // A short fall between two looks is one all the same: packet sockets report it too.
      if (!(link->ifi_flags & IFF_UP)) state.up = false;
      auto* attribute = IFLA_RTA(link);
      int attributesLeft = static_cast<int>(IFLA_PAYLOAD(header));
      for (; RTA_OK(attribute, attributesLeft); attribute = RTA_NEXT(attribute, attributesLeft)) {
        if (attribute->rta_type == IFLA_MTU) memcpy(&state.mtu, RTA_DATA(attribute), sizeof state.mtu);
      }
    }
  }
  // The callback may close the socket that this watch belongs to: nothing of it may be touched afterwards.
  const Callback onChange = onChange_;
  if (changed) onChange(state);
}

}  // namespace ethernet

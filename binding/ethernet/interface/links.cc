#include "ethernet/interface/links.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ethernet {
namespace {

struct RouteSocket {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  ~RouteSocket() {
    if (fd >= 0) close(fd);
  }
};

// One answer, or one pass of a dump. EINTR where something changed under the dump.
int ask(int fd, int32_t index, std::vector<Link>* links) {
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  const bool all = index == 0;
  request.header = {sizeof request, RTM_GETLINK, static_cast<uint16_t>(NLM_F_REQUEST | (all ? NLM_F_DUMP : 0)), 1, 0};
  request.link.ifi_family = AF_UNSPEC;
  request.link.ifi_index = index;
  if (send(fd, &request, sizeof request, 0) < 0) return errno;
  links->clear();
  bool interrupted = false;
  // More than the kernel puts into one datagram (netlink_dump).
  alignas(nlmsghdr) static thread_local uint8_t buffer[65536];
  for (;;) {
    const ssize_t received = recv(fd, buffer, sizeof buffer, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return errno;
    size_t left = static_cast<size_t>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_flags & NLM_F_DUMP_INTR) interrupted = true;
      if (header->nlmsg_type == NLMSG_DONE) return interrupted ? EINTR : 0;
      if (header->nlmsg_type == NLMSG_ERROR) return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
      if (header->nlmsg_type == RTM_NEWLINK) links->push_back(linkOf(header));
    }
    if (!all) return links->empty() ? ENODEV : 0;
  }
}

}  // namespace

bool Link::up() const { return flags & IFF_UP; }

bool Link::carrier() const { return flags & IFF_LOWER_UP; }

bool Link::sends() const {
  const bool noticed = state != IF_OPER_NOTPRESENT && state != IF_OPER_DOWN && state != IF_OPER_LOWERLAYERDOWN;
  return carrier() && noticed;
}

Link linkOf(const nlmsghdr* message) {
  const auto* header = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  Link link;
  link.index = header->ifi_index;
  link.type = header->ifi_type;
  link.flags = header->ifi_flags;
  const auto* attribute = IFLA_RTA(header);
  int left = static_cast<int>(IFLA_PAYLOAD(message));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    const size_t length = RTA_PAYLOAD(attribute);
    const auto* data = static_cast<const uint8_t*>(RTA_DATA(attribute));
    switch (attribute->rta_type & NLA_TYPE_MASK) {
      case IFLA_IFNAME:
        link.name.assign(reinterpret_cast<const char*>(data), strnlen(reinterpret_cast<const char*>(data), length));
        break;
      case IFLA_MTU: memcpy(&link.mtu, data, std::min(length, sizeof link.mtu)); break;
      case IFLA_OPERSTATE: memcpy(&link.state, data, std::min(length, sizeof link.state)); break;
      case IFLA_ADDRESS:
        link.addressLength = std::min(length, link.address.size());
        memcpy(link.address.data(), data, link.addressLength);
        break;
      default: break;
    }
  }
  return link;
}

int queryLinks(int32_t index, std::vector<Link>* links) {
  for (;;) {
    // A dump that was interrupted leaves nothing behind in a socket of its own.
    const RouteSocket route;
    if (route.fd < 0) return errno;
    const int error = ask(route.fd, index, links);
    if (error != EINTR) return error;
  }
}

}  // namespace ethernet

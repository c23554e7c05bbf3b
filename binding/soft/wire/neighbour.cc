#include "wire/neighbour.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "nic/gid.h"
#include "wire/netlink.h"

namespace soft {

namespace {

using Clock = std::chrono::steady_clock;

// rdma_addr_find_l2_eth_by_grh of addr.c: rdma_resolve_ip with 1000 ms, then ETIMEDOUT.
constexpr std::chrono::milliseconds kLimit{1000};
constexpr uint16_t kDiscard = 9;  // RFC 863: a server there drops all that comes
constexpr uint16_t kValid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

using Address = std::vector<uint8_t>;  // 4 bytes or 16

uint8_t familyOf(const Address& address) { return address.size() == 4 ? AF_INET : AF_INET6; }

Gid gidOf(const Address& address) {
  Gid gid{};
  std::copy(address.begin(), address.end(), gid.end() - static_cast<long>(address.size()));
  if (address.size() == 4) gid[10] = gid[11] = 0xff;
  return gid;
}

Address addressOf(const Gid& gid) { return Address(gid.begin() + (isIpv4(gid) ? 12 : 0), gid.end()); }

template <typename Fixed>
const Fixed* partOf(const nlmsghdr& message, uint16_t type) {
  if (message.nlmsg_type != type || message.nlmsg_len < NLMSG_LENGTH(sizeof(Fixed))) return nullptr;
  return static_cast<const Fixed*>(NLMSG_DATA(&message));
}

template <typename Fixed, typename Visit>
void attributesOf(const nlmsghdr& message, Visit visit) {
  const auto* from = static_cast<const uint8_t*>(NLMSG_DATA(&message)) + NLMSG_ALIGN(sizeof(Fixed));
  netlinkAttributes(from, message.nlmsg_len - NLMSG_LENGTH(sizeof(Fixed)), visit);
}

struct Interfaces {
  Interfaces() {
    if (getifaddrs(&list) != 0) list = nullptr;
  }
  ~Interfaces() {
    if (list != nullptr) freeifaddrs(list);
  }
  Interfaces(const Interfaces&) = delete;
  Interfaces& operator=(const Interfaces&) = delete;
  ifaddrs* list;
};

// Empty for what is no IP address.
Address addressOf(const ifaddrs& entry) {
  const int family = entry.ifa_addr == nullptr ? AF_UNSPEC : entry.ifa_addr->sa_family;
  if (family != AF_INET && family != AF_INET6) return {};
  const bool v4 = family == AF_INET;
  const void* at = v4 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(entry.ifa_addr)->sin_addr)
                      : &reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr)->sin6_addr;
  const auto* bytes = static_cast<const uint8_t*>(at);
  return Address(bytes, bytes + (v4 ? 4 : 16));
}

// Of the interface of this machine that has an address.
int localMac(const Address& address, Mac* mac) {
  const Interfaces interfaces;
  for (const ifaddrs* one = interfaces.list; one != nullptr; one = one->ifa_next) {
    if (addressOf(*one) != address) continue;
    for (const ifaddrs* link = interfaces.list; link != nullptr; link = link->ifa_next) {
      if (link->ifa_addr == nullptr || link->ifa_addr->sa_family != AF_PACKET) continue;
      if (strcmp(link->ifa_name, one->ifa_name) != 0) continue;
      memcpy(mac->data(), reinterpret_cast<const sockaddr_ll*>(link->ifa_addr)->sll_addr, mac->size());
      return 0;
    }
  }
  return EHOSTUNREACH;
}

class Resolver {
 public:
  Resolver(const std::string& interface, Address address)
      : interface_(interface), index_(static_cast<int>(if_nametoindex(interface.c_str()))), to_(std::move(address)) {}

  int resolve(Mac* mac) {
    if (index_ == 0) return ENODEV;
    // From before the first look on, so that no change is missed.
    if (const int error = events_.open(NETLINK_ROUTE, RTMGRP_NEIGH)) return error;
    if (const int error = kernel_.open(NETLINK_ROUTE)) return error;
    bool local = false;
    if (const int error = route(&local)) return error;
    if (local) return localMac(to_, mac);
    const Clock::time_point limit = Clock::now() + kLimit;
    for (Clock::time_point asked{};;) {
      uint16_t state = NUD_NONE;
      if (const int error = look(&state, mac)) return error;
      if (state & kValid) return 0;
      const Clock::time_point now = Clock::now();
      // One that failed is asked again, as addr.c does (neigh_event_send), but not in a hurry.
      if ((state == NUD_NONE || state & NUD_FAILED) && now - asked > kPause) {
        asked = now;
        if (const int error = ask()) return error;
        continue;
      }
      if (now >= limit) return ETIMEDOUT;
      wait(std::min<Clock::duration>(limit - now, state & NUD_FAILED ? kPause : kLimit));
    }
  }

 private:
  static constexpr std::chrono::milliseconds kPause{50};

  // The next hop: hop_ is it afterwards.
  int route(bool* local) {
    rtmsg request{};
    request.rtm_family = familyOf(to_);
    request.rtm_dst_len = static_cast<uint8_t>(to_.size() * 8);
    kernel_.begin(RTM_GETROUTE, NLM_F_ACK);
    kernel_.fixed(request);
    kernel_.put(RTA_DST, to_.data(), to_.size());
    kernel_.put(RTA_OIF, &index_, sizeof index_);
    hop_ = to_;
    int error = ENETUNREACH;
    const int refused = kernel_.exchange([&](const nlmsghdr& message) {
      const auto* found = partOf<rtmsg>(message, RTM_NEWROUTE);
      if (found == nullptr) return;
      *local = found->rtm_type == RTN_LOCAL;
      error = found->rtm_type == RTN_UNREACHABLE ? EHOSTUNREACH
              : found->rtm_type == RTN_PROHIBIT  ? EACCES
              : found->rtm_type == RTN_BLACKHOLE ? EINVAL
                                                 : 0;
      attributesOf<rtmsg>(message, [&](uint16_t type, const uint8_t* data, size_t length) {
        if (type == RTA_GATEWAY && (length == 4 || length == 16)) hop_.assign(data, data + length);
        // IPv4 by way of an IPv6 router (RFC 5549): struct rtvia is a family and an address.
        if (type == RTA_VIA && length == 18) hop_.assign(data + 2, data + length);
      });
    });
    return refused != 0 ? refused : error;
  }

  ndmsg neighbour(uint8_t flags) const {
    ndmsg request{};
    request.ndm_family = familyOf(hop_);
    request.ndm_ifindex = index_;
    request.ndm_flags = flags;
    return request;
  }

  // What the table says: NUD_NONE where it has no entry.
  int look(uint16_t* state, Mac* mac) {
    kernel_.begin(RTM_GETNEIGH, NLM_F_ACK);
    kernel_.fixed(neighbour(0));
    kernel_.put(NDA_DST, hop_.data(), hop_.size());
    const int error = kernel_.exchange([&](const nlmsghdr& message) {
      const auto* found = partOf<ndmsg>(message, RTM_NEWNEIGH);
      if (found == nullptr) return;
      *state = found->ndm_state;
      bool known = false;
      attributesOf<ndmsg>(message, [&](uint16_t type, const uint8_t* data, size_t length) {
        if (type != NDA_LLADDR || length != mac->size()) return;
        memcpy(mac->data(), data, length);
        known = true;
      });
      if (!known) *state &= static_cast<uint16_t>(~kValid);
    });
    return error == ENOENT ? 0 : error;
  }

  // Makes the kernel resolve the next hop: by its own means where that is allowed, else by a datagram that goes there.
  int ask() {
    kernel_.begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK);
    kernel_.fixed(neighbour(NTF_USE));
    kernel_.put(NDA_DST, hop_.data(), hop_.size());
    const int error = kernel_.exchange();
    return error == EPERM ? sendDatagram() : error;
  }

  int sendDatagram() {
    const int descriptor = socket(familyOf(to_), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return errno;
    sockaddr_in four{};
    sockaddr_in6 six{};
    four.sin_family = AF_INET;
    six.sin6_family = AF_INET6;
    four.sin_port = six.sin6_port = htons(kDiscard);
    const bool v4 = to_.size() == 4;
    if (v4) memcpy(&four.sin_addr, to_.data(), 4);
    else memcpy(&six.sin6_addr, to_.data(), 16);
    six.sin6_scope_id = static_cast<uint32_t>(index_);
    setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, interface_.c_str(), static_cast<socklen_t>(interface_.size()));
    const auto* to = v4 ? reinterpret_cast<sockaddr*>(&four) : reinterpret_cast<sockaddr*>(&six);
    const ssize_t sent = sendto(descriptor, nullptr, 0, 0, to, v4 ? sizeof four : sizeof six);
    const int error = sent < 0 && errno != EAGAIN && errno != ENOBUFS ? errno : 0;
    close(descriptor);
    return error;
  }

  void wait(Clock::duration most) {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(most).count() + 1;
    pollfd waiting{events_.descriptor(), POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(milliseconds));
    uint8_t news[8192];
    while (recv(events_.descriptor(), news, sizeof news, MSG_DONTWAIT) > 0) continue;
  }

  const std::string interface_;
  const int index_;
  const Address to_;
  Address hop_;
  NetlinkSocket events_, kernel_;
};

}  // namespace

std::vector<Gid> interfaceGids(const std::string& interface) {
  std::vector<Gid> list;
  const Interfaces interfaces;
  for (const ifaddrs* one = interfaces.list; one != nullptr; one = one->ifa_next) {
    const Address address = addressOf(*one);
    if (interface == one->ifa_name && !address.empty()) list.push_back(gidOf(address));
  }
  return list;
}

int resolveNeighbour(const std::string& interface, const Gid& gid, Mac* mac) {
  return Resolver(interface, addressOf(gid)).resolve(mac);
}

}  // namespace soft

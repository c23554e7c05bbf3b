#include "wire/netlink.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/life_lines.h"

namespace soft {

NetlinkSocket::~NetlinkSocket() {
  if (descriptor_ < 0) return;
  LifeLines::remove(descriptor_);
  ::close(descriptor_);
}

int NetlinkSocket::open(int protocol, uint32_t groups) {
  descriptor_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (descriptor_ < 0) return errno;
  // What the kernel keeps for as long as the socket lives must not outlive this process in a child of its.
  LifeLines::add(descriptor_);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  return bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

uint32_t NetlinkSocket::port() const {
  sockaddr_nl address{};
  socklen_t length = sizeof address;
  getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &length);
  return address.nl_pid;
}

void NetlinkSocket::append(const void* data, size_t length) {
  const auto* from = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + length);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void NetlinkSocket::finish() {
  if (message_ == SIZE_MAX) return;
  const auto length = static_cast<uint32_t>(bytes_.size() - message_);
  memcpy(&bytes_[message_], &length, sizeof length);  // nlmsg_len is the header's first member
  message_ = SIZE_MAX;
}

void NetlinkSocket::begin(uint16_t type, uint16_t flags) {
  finish();
  if (bytes_.empty()) first_ = sequence_ + 1;
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = NLM_F_REQUEST | flags;
  header.nlmsg_seq = ++sequence_;
  if (flags & NLM_F_ACK) last_ = sequence_;
  message_ = bytes_.size();
  append(&header, sizeof header);
}

void NetlinkSocket::put(uint16_t attribute, const void* data, size_t length) {
  const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + length), attribute};
  append(&header, sizeof header);
  append(data, length);
}

void NetlinkSocket::putBig32(uint16_t attribute, uint32_t value) {
  const uint32_t big = htonl(value);
  put(attribute, &big, sizeof big);
}

size_t NetlinkSocket::nest(uint16_t attribute) {
  const size_t at = bytes_.size();
  put(attribute | NLA_F_NESTED, nullptr, 0);
  return at;
}

void NetlinkSocket::close(size_t nested) {
  const auto length = static_cast<uint16_t>(bytes_.size() - nested);
  memcpy(&bytes_[nested], &length, sizeof length);  // nla_len is the header's first member
}

int NetlinkSocket::exchange(const std::function<void(const nlmsghdr&)>& answer) {
  finish();
  const std::vector<uint8_t> request = std::move(bytes_);
  bytes_.clear();
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = sendto(descriptor_, request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno;
  alignas(nlmsghdr) uint8_t room[32768];
  for (;;) {
    // The kernel works on a request within the call that sends it: its answers are there.
    const ssize_t length = recv(descriptor_, room, sizeof room, MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return errno == EAGAIN ? EIO : errno;
    auto left = static_cast<uint32_t>(length);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(room); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq - first_ > sequence_ - first_) continue;  // of an exchange before, which ended in an error
      if (header->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
        if (error != 0 || header->nlmsg_seq == last_) return error;
      } else if (answer) {
        answer(*header);
      }
    }
  }
}

void netlinkAttributes(const void* from, size_t length,
                       const std::function<void(uint16_t type, const uint8_t* data, size_t length)>& visit) {
  const auto* at = static_cast<const uint8_t*>(from);
  while (length >= NLA_HDRLEN) {
    nlattr header;
    memcpy(&header, at, sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > length) return;
    visit(header.nla_type & NLA_TYPE_MASK, at + NLA_HDRLEN, header.nla_len - NLA_HDRLEN);
    const size_t step = std::min<size_t>(NLA_ALIGN(header.nla_len), length);
    at += step;
    length -= step;
  }
}

}  // namespace soft

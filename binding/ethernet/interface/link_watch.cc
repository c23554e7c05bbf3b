#include "ethernet/interface/link_watch.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "argument.h"
#include "environment.h"
#include "ethernet/interface/links.h"
#include "hot_call.h"
#include "watcher.h"

namespace ethernet {

LinkWatch::LinkWatch(Environment& environment, int32_t interfaceIndex, Napi::Value onChange)
    : Handle(Kind::LinkWatch, {}), environment_(environment), interfaceIndex_(interfaceIndex) {
  Napi::Env env = environment.env();
  onChange_ = Napi::Persistent(argument::function(env, onChange, "onChange"));
  try {
    start(env);
  } catch (...) {
    // No destructor runs for an object whose constructor throws.
    const char* syscall;
    release(&syscall);
    throw;
  }
}

LinkWatch::~LinkWatch() {
  const char* syscall;
  release(&syscall);
}

void LinkWatch::start(Napi::Env env) {
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd_ < 0) throwErrno(env, errno, "socket", "AF_NETLINK");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) throwErrno(env, errno, "bind", "RTMGRP_LINK");
  int error = 0;
  watcher_ = Watcher::start(
      environment_, fd_,
      [this] {
        // The callback may close this watch: nothing of it may be touched afterwards.
        if (const uint32_t news = look()) environment_.call(onChange_, {static_cast<double>(news)});
      },
      &error);
  if (error) throwErrno(env, error, "uv_poll_start");
}

int LinkWatch::release(const char**) {
  if (watcher_) watcher_->stop();
  watcher_ = nullptr;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  return 0;
}

LinkState LinkWatch::ask() const {
  std::vector<Link> links;
  const int error = queryLinks(interfaceIndex_, &links);
  LinkState state;
  if (error) {
    state.present = state.up = state.carrier = state.sends = error != ENODEV;
    return state;
  }
  return {true, links[0].up(), links[0].carrier(), links[0].sends(), links[0].mtu};
}

uint32_t LinkWatch::look() {
  LinkState state;
  bool changed = false;
  alignas(nlmsghdr) uint8_t buffer[16384];
  for (;;) {
    const ssize_t received = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == ENOBUFS) {
      // Messages were lost, and nothing says which.
      state = ask();
      changed = true;
      continue;
    }
    if (received <= 0) break;
    size_t left = static_cast<size_t>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) continue;
      const auto* message = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
      // A bridge port that leaves its bridge is an RTM_DELLINK too, of another family.
      if (message->ifi_index != interfaceIndex_ || message->ifi_family != AF_UNSPEC) continue;
      changed = true;
      const Link link = linkOf(header);
      if (header->nlmsg_type == RTM_DELLINK) state.present = false;
      // A link that was down for a moment between two looks was down: packet sockets report it, too.
      if (!link.up()) state.up = false;
      state.sends = link.sends();
      if (link.mtu > 0) state.mtu = link.mtu;
    }
  }
  if (!changed) return 0;
  return kChanged | (state.present ? kPresent : 0) | (state.up ? kUp : 0) | (state.sends ? kSends : 0) |
         state.mtu << kMtuShift;
}

namespace {

LinkWatch& watchOf(Environment& environment, uint32_t id) { return environment.handle<LinkWatch>(id, "link watch"); }

// watch(interfaceIndex, onChange): handle
Napi::Value watch(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const auto index = argument::integer<int32_t>(info.Env(), info[0], "interfaceIndex");
  return environment.open(std::make_unique<LinkWatch>(environment, index, info[1]));
}

// look(handle): LinkWatch::look()
int32_t look(Environment& environment, const uint32_t* numbers) {
  return static_cast<int32_t>(watchOf(environment, numbers[0]).look());
}

// state(handle): 1 with a carrier at this moment, and 2 more when the kernel knows and sends, a negative errno for a
// link that is down or gone
int32_t state(Environment& environment, const uint32_t* numbers) {
  const LinkState state = watchOf(environment, numbers[0]).ask();
  if (!state.present) return -ENODEV;
  if (!state.up) return -ENETDOWN;
  return (state.carrier ? 1 : 0) | (state.sends ? 2 : 0);
}

}  // namespace

void initializeLinkWatch(Napi::Env env, Napi::Object exports) {
  Napi::Object link = Napi::Object::New(env);
  link.Set("watch", Napi::Function::New<watch>(env, "watch"));
  hot_call::define<1, look>(env, link, "look");
  hot_call::define<1, state>(env, link, "state");
  exports.Set("link", link);
}

}  // namespace ethernet

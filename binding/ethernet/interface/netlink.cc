#include "ethernet/interface/netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "argument.h"
#include "environment.h"
#include "watcher.h"

namespace ethernet {
namespace {

// More than the kernel puts into one datagram: 32 KiB (netlink_recvmsg, netlink_dump in the kernel).
constexpr size_t kBufferBytes = 65536;

NetlinkSocket& socketOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<NetlinkSocket>(info, 0, "netlink socket");
}

// open(groups, onEvent?): handle
Napi::Value open(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  return environment.open(std::make_unique<NetlinkSocket>(environment, argument::uint32(info, 0, "groups"), info[1]));
}

// send(handle, message)
void send(const Napi::CallbackInfo& info) {
  NetlinkSocket& socket = socketOf(info);
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throwArgumentType(info.Env(), "message", "a Uint8Array");
  }
  const auto message = info[1].As<Napi::Uint8Array>();
  socket.send(info.Env(), message.Data(), message.ByteLength());
}

// receive(handle): Uint8Array | null
Napi::Value receive(const Napi::CallbackInfo& info) { return socketOf(info).receive(info.Env()); }

}  // namespace

NetlinkSocket::NetlinkSocket(Environment& environment, uint32_t groups, Napi::Value onEvent)
    : Handle(Kind::NetlinkSocket, {}), environment_(environment), buffer_(kBufferBytes) {
  Napi::Env env = environment.env();
  const bool watched = !onEvent.IsUndefined();
  if (watched) onEvent_ = Napi::Persistent(argument::function(env, onEvent, "onEvent"));
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd_ < 0) throwErrno(env, errno, "socket", "AF_NETLINK");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  int error = 0;
  const char* syscall = "bind";
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) {
    error = errno;
  } else if (watched) {
    syscall = "uv_poll_start";
    watcher_ = Watcher::start(
        // The callback may close this socket: nothing of it may be touched afterwards.
        environment, fd_, [this] { environment_.call(onEvent_); }, &error);
  }
  if (error) {
    // No destructor runs for an object whose constructor throws.
    ::close(fd_);
    throwErrno(env, error, syscall, "AF_NETLINK");
  }
  if (watcher_) watcher_->reference(true);
}

NetlinkSocket::~NetlinkSocket() {
  const char* syscall;
  release(&syscall);
}

int NetlinkSocket::release(const char**) {
  if (watcher_) watcher_->stop();
  watcher_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  return 0;
}

void NetlinkSocket::send(Napi::Env env, const uint8_t* message, size_t length) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_, message, length, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0) {
    throwErrno(env, errno, "sendto", "AF_NETLINK");
  }
}

Napi::Value NetlinkSocket::receive(Napi::Env env) {
  // After messages were lost the socket reports an error, for which libuv stops the poll (see watcher.cc).
  if (watcher_) {
    const int error = watcher_->listen(UV_READABLE);
    if (error) throwErrno(env, error, "uv_poll_start", "AF_NETLINK");
  }
  for (;;) {
    sockaddr_nl sender{};
    iovec bytes{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    const ssize_t length = recvmsg(fd_, &message, MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return env.Null();
      throwErrno(env, errno, "recvmsg", "AF_NETLINK");
    }
    if (message.msg_flags & MSG_TRUNC) throwErrno(env, EMSGSIZE, "recvmsg", "AF_NETLINK");
    // A process with CAP_NET_ADMIN may send to any socket: only the kernel's messages (nl_pid 0) are taken
    // (netlink(7)).
    if (message.msg_namelen != sizeof sender || sender.nl_pid != 0) continue;
    Napi::Uint8Array result = Napi::Uint8Array::New(env, static_cast<size_t>(length));
    memcpy(result.Data(), buffer_.data(), static_cast<size_t>(length));
    return result;
  }
}

void initializeNetlink(Napi::Env env, Napi::Object exports) {
  Napi::Object netlink = Napi::Object::New(env);
  netlink.Set("open", Napi::Function::New<open>(env, "open"));
  netlink.Set("send", Napi::Function::New<send>(env, "send"));
  netlink.Set("receive", Napi::Function::New<receive>(env, "receive"));
  exports.Set("netlink", netlink);
}

}  // namespace ethernet

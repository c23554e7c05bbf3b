#include "ethernet/xdp.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <cstring>

#include "argument.h"
#include "environment.h"
#include "ethernet/membership.h"
#include "ethernet/xdp_program.h"
#include "ethernet/xdp_socket.h"
#include "hot_call.h"

namespace ethernet {
namespace {

constexpr const char* kWhat = "packet queue";

XdpSocket& socketOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<XdpSocket>(info, 0, kWhat);
}

Napi::Value status(const Napi::CallbackInfo& info, int result) { return Napi::Number::New(info.Env(), result); }

// open(options): handle
Napi::Value open(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  return environment.open(
      std::make_unique<XdpSocket>(environment, argument::object(info.Env(), info[0], "options")));
}

// rings(handle)
Napi::Value rings(const Napi::CallbackInfo& info) { return socketOf(info).rings(info.Env()); }

// bind(handle, queue, flags): 0 or a negative errno, as the next ones
Napi::Value bind(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const uint32_t queue = argument::uint32(info, 1, "queue");
  return status(info, socket.bind(queue, argument::integer<uint16_t>(info.Env(), info[2], "flags")));
}

// option(handle, level, name, value): setsockopt(2) of an int
Napi::Value option(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const auto level = argument::integer<int32_t>(info.Env(), info[1], "level");
  const auto name = argument::integer<int32_t>(info.Env(), info[2], "name");
  return status(info, socket.option(level, name, argument::integer<int32_t>(info.Env(), info[3], "value")));
}

// createMap(handle, queues)
Napi::Value createMap(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  return status(info, socket.createMap(argument::uint32(info, 1, "queues")));
}

// attach(handle, program, fragments, mode)
Napi::Value attach(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const bool fragments = argument::boolean(info.Env(), info[2], "fragments");
  return status(info, socket.attach(info.Env(), info[1], fragments, argument::uint32(info, 3, "mode")));
}

// replace(handle, program)
Napi::Value replace(const Napi::CallbackInfo& info) {
  return status(info, socketOf(info).replace(info.Env(), info[1]));
}

// enlist(handle, queue)
Napi::Value enlist(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  return status(info, socket.enlist(argument::uint32(info, 1, "queue")));
}

// membership(handle, add, type, address?): address is six bytes
void membership(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const bool add = argument::boolean(info.Env(), info[1], "add");
  const auto type = argument::integer<uint16_t>(info.Env(), info[2], "type");
  socket.membership(add, type, addressOf(info.Env(), info[3]));
}

// transmit(handle), receive(handle): the doorbells
int32_t transmit(Environment& environment, const uint32_t* numbers) {
  return environment.handle<XdpSocket>(numbers[0], kWhat).transmit();
}
int32_t receive(Environment& environment, const uint32_t* numbers) {
  return environment.handle<XdpSocket>(numbers[0], kWhat).receive();
}

// arm(handle, readable, writable, referenced)
void arm(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const bool readable = argument::boolean(info.Env(), info[1], "readable");
  const bool writable = argument::boolean(info.Env(), info[2], "writable");
  const bool referenced = argument::boolean(info.Env(), info[3], "referenced");
  socket.arm((readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), referenced);
}

// disarm(handle)
void disarm(const Napi::CallbackInfo& info) { socketOf(info).disarm(); }

// zeroCopy(handle)
Napi::Value zeroCopy(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), socketOf(info).zeroCopy(info.Env()));
}

// statistics(handle): struct xdp_statistics
Napi::Value statistics(const Napi::CallbackInfo& info) { return socketOf(info).statistics(info.Env()); }

// sendBuffer(handle): SO_SNDBUF
Napi::Value sendBuffer(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), socketOf(info).bufferSize(SO_SNDBUF));
}

// channels(name): how many receive queues the interface has in use; 0 where its driver does not tell
Napi::Value channels(const Napi::CallbackInfo& info) {
  const std::string name = argument::string(info.Env(), info[0], "name");
  ethtool_channels counts{};
  counts.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&counts);
  const int control = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) throwErrno(info.Env(), errno, "socket");
  const int error = ioctl(control, SIOCETHTOOL, &request) ? errno : 0;
  ::close(control);
  if (error && error != EOPNOTSUPP) throwErrno(info.Env(), error, "ioctl", "ETHTOOL_GCHANNELS");
  return Napi::Number::New(info.Env(), error ? 0 : counts.rx_count + counts.combined_count);
}

}  // namespace

void initializeXdp(Napi::Env env, Napi::Object exports) {
  Napi::Object xdp = Napi::Object::New(env);
  xdp.Set("open", Napi::Function::New<open>(env, "open"));
  xdp.Set("rings", Napi::Function::New<rings>(env, "rings"));
  xdp.Set("bind", Napi::Function::New<bind>(env, "bind"));
  xdp.Set("option", Napi::Function::New<option>(env, "option"));
  xdp.Set("createMap", Napi::Function::New<createMap>(env, "createMap"));
  xdp.Set("attach", Napi::Function::New<attach>(env, "attach"));
  xdp.Set("replace", Napi::Function::New<replace>(env, "replace"));
  xdp.Set("enlist", Napi::Function::New<enlist>(env, "enlist"));
  xdp.Set("membership", Napi::Function::New<membership>(env, "membership"));
  hot_call::define<1, transmit>(env, xdp, "transmit");
  hot_call::define<1, receive>(env, xdp, "receive");
  xdp.Set("arm", Napi::Function::New<arm>(env, "arm"));
  xdp.Set("disarm", Napi::Function::New<disarm>(env, "disarm"));
  xdp.Set("zeroCopy", Napi::Function::New<zeroCopy>(env, "zeroCopy"));
  xdp.Set("statistics", Napi::Function::New<statistics>(env, "statistics"));
  xdp.Set("sendBuffer", Napi::Function::New<sendBuffer>(env, "sendBuffer"));
  xdp.Set("attached", Napi::Function::New<attachedProgram>(env, "attached"));
  xdp.Set("channels", Napi::Function::New<channels>(env, "channels"));
  exports.Set("xdp", xdp);
}

}  // namespace ethernet

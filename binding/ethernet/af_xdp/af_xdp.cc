#include "ethernet/af_xdp/af_xdp.h"

#include <sys/socket.h>
#include <uv.h>

#include "argument.h"
#include "environment.h"
#include "ethernet/af_xdp/program.h"
#include "ethernet/af_xdp/socket.h"
#include "ethernet/interface/membership.h"
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
  return environment.open(std::make_unique<XdpSocket>(environment, argument::object(info.Env(), info[0], "options")));
}

// rings(handle)
Napi::Value rings(const Napi::CallbackInfo& info) { return socketOf(info).rings(info.Env()); }

// registerMemory(handle): the arena of its own
void registerMemory(const Napi::CallbackInfo& info) { socketOf(info).registerMemory(info.Env()); }

// { shared, zeroCopy, fragments, status? }
Napi::Object describe(Napi::Env env, const XdpSharing& sharing) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("shared", Napi::Boolean::New(env, sharing.shared));
  result.Set("zeroCopy", Napi::Boolean::New(env, sharing.zeroCopy));
  result.Set("fragments", Napi::Boolean::New(env, sharing.fragments));
  return result;
}

// sharing(handle): whether another socket's registration of the arena can be shared, and how that one is bound
Napi::Value sharing(const Napi::CallbackInfo& info) { return describe(info.Env(), socketOf(info).sharing()); }

// bindShared(handle, queue): the same, of what is shared now, with `status`, 0 or a negative errno
Napi::Value bindShared(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  XdpSharing sharing;
  const int result = socket.bindShared(argument::uint32(info, 1, "queue"), &sharing);
  Napi::Object described = describe(info.Env(), sharing);
  described.Set("status", Napi::Number::New(info.Env(), result));
  return described;
}

// bind(handle, queue, flags), after registerMemory: 0 or a negative errno, as the next ones
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

// joinProgram(handle)
Napi::Value joinProgram(const Napi::CallbackInfo& info) { return status(info, socketOf(info).joinProgram()); }

// attach(handle, program, queue, fragments, mode): { status, mode, fragments }, the last two as they are in force
Napi::Value attach(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const uint32_t queue = argument::uint32(info, 2, "queue");
  XdpProgram::Mode mode;
  mode.fragments = argument::boolean(info.Env(), info[3], "fragments");
  mode.flags = argument::uint32(info, 4, "mode");
  const int result = socket.attach(info.Env(), info[1], queue, &mode);
  Napi::Object described = Napi::Object::New(info.Env());
  described.Set("status", Napi::Number::New(info.Env(), result));
  described.Set("mode", Napi::Number::New(info.Env(), mode.flags));
  described.Set("fragments", Napi::Boolean::New(info.Env(), mode.fragments));
  return described;
}

// replace(handle, program)
Napi::Value replace(const Napi::CallbackInfo& info) {
  return status(info, socketOf(info).replace(info.Env(), info[1]));
}

// membership(handle, add, type, address?): address is six bytes
void membership(const Napi::CallbackInfo& info) {
  XdpSocket& socket = socketOf(info);
  const bool add = argument::boolean(info.Env(), info[1], "add");
  const auto type = argument::integer<uint16_t>(info.Env(), info[2], "type");
  socket.membership(add, type, addressOf(info.Env(), info[3]));
}

// transmitBell(handle, mailbox): a function
Napi::Value transmitBell(const Napi::CallbackInfo& info) { return socketOf(info).transmitBell(info.Env(), info[1]); }

// receive(handle): the fill ring's doorbell
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
  return Napi::Boolean::New(info.Env(), socketOf(info).zeroCopy());
}

// statistics(handle): struct xdp_statistics
Napi::Value statistics(const Napi::CallbackInfo& info) { return socketOf(info).statistics(info.Env()); }

// sendBuffer(handle): SO_SNDBUF
Napi::Value sendBuffer(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), socketOf(info).bufferSize(SO_SNDBUF));
}

// napi(handle): SO_INCOMING_NAPI_ID, 0 before the first frame and of a device without NAPI
Napi::Value napi(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), socketOf(info).bufferSize(SO_INCOMING_NAPI_ID));
}

}  // namespace

void initializeXdp(Napi::Env env, Napi::Object exports) {
  Napi::Object xdp = Napi::Object::New(env);
  xdp.Set("open", Napi::Function::New<open>(env, "open"));
  xdp.Set("rings", Napi::Function::New<rings>(env, "rings"));
  xdp.Set("registerMemory", Napi::Function::New<registerMemory>(env, "registerMemory"));
  xdp.Set("sharing", Napi::Function::New<sharing>(env, "sharing"));
  xdp.Set("bindShared", Napi::Function::New<bindShared>(env, "bindShared"));
  xdp.Set("bind", Napi::Function::New<bind>(env, "bind"));
  xdp.Set("option", Napi::Function::New<option>(env, "option"));
  xdp.Set("joinProgram", Napi::Function::New<joinProgram>(env, "joinProgram"));
  xdp.Set("attach", Napi::Function::New<attach>(env, "attach"));
  xdp.Set("replace", Napi::Function::New<replace>(env, "replace"));
  xdp.Set("membership", Napi::Function::New<membership>(env, "membership"));
  xdp.Set("transmitBell", Napi::Function::New<transmitBell>(env, "transmitBell"));
  hot_call::define<1, receive>(env, xdp, "receive");
  xdp.Set("arm", Napi::Function::New<arm>(env, "arm"));
  xdp.Set("disarm", Napi::Function::New<disarm>(env, "disarm"));
  xdp.Set("zeroCopy", Napi::Function::New<zeroCopy>(env, "zeroCopy"));
  xdp.Set("statistics", Napi::Function::New<statistics>(env, "statistics"));
  xdp.Set("sendBuffer", Napi::Function::New<sendBuffer>(env, "sendBuffer"));
  xdp.Set("napi", Napi::Function::New<napi>(env, "napi"));
  xdp.Set("attached", Napi::Function::New<attachedProgram>(env, "attached"));
  exports.Set("xdp", xdp);
}

}  // namespace ethernet

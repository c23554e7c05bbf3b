#include "ethernet/ethernet.h"

#include "argument.h"
#include "environment.h"
#include "ethernet/af_packet/socket.h"
#include "ethernet/af_xdp/af_xdp.h"
#include "ethernet/interface/ethtool.h"
#include "ethernet/interface/interfaces.h"
#include "ethernet/interface/link_watch.h"
#include "ethernet/interface/membership.h"
#include "ethernet/interface/netlink.h"
#include "ethernet/packet_filter.h"
#include "ethernet/raw_packet/queue.h"

namespace ethernet {
namespace {

PacketSocket& socketOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<PacketSocket>(info, 0, "packet queue");
}

// open(options): handle
Napi::Value open(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  return environment.open(
      std::make_unique<PacketSocket>(environment, argument::object(info.Env(), info[0], "options")));
}

// ring(handle, bytes, payload): PacketRing::words()
Napi::Value ring(const Napi::CallbackInfo& info) {
  return socketOf(info).ring(info.Env(), argument::uint32(info, 1, "bytes"), argument::uint32(info, 2, "payload"));
}

// timestamps(handle, hardware)
void timestamps(const Napi::CallbackInfo& info) {
  socketOf(info).timestamps(info.Env(), argument::boolean(info.Env(), info[1], "hardware"));
}

// bind(handle, protocol)
void bind(const Napi::CallbackInfo& info) {
  socketOf(info).bind(info.Env(), argument::integer<uint16_t>(info.Env(), info[1], "protocol"));
}

// fanout(handle, group, type): the group's number, or a negative errno
Napi::Value fanout(const Napi::CallbackInfo& info) {
  PacketSocket& socket = socketOf(info);
  const auto group = argument::integer<uint16_t>(info.Env(), info[1], "group");
  const auto type = argument::integer<uint16_t>(info.Env(), info[2], "type");
  return Napi::Number::New(info.Env(), socket.fanout(group, type));
}

// receiveBell(handle, mailbox), transmitBell(handle, mailbox): functions
Napi::Value receiveBell(const Napi::CallbackInfo& info) { return socketOf(info).receiveBell(info.Env(), info[1]); }
Napi::Value transmitBell(const Napi::CallbackInfo& info) { return socketOf(info).transmitBell(info.Env(), info[1]); }

// arm(handle, readable, writable, referenced)
void arm(const Napi::CallbackInfo& info) {
  PacketSocket& socket = socketOf(info);
  const bool readable = argument::boolean(info.Env(), info[1], "readable");
  const bool writable = argument::boolean(info.Env(), info[2], "writable");
  const bool referenced = argument::boolean(info.Env(), info[3], "referenced");
  socket.arm(readable, writable, referenced);
}

// disarm(handle)
void disarm(const Napi::CallbackInfo& info) { socketOf(info).disarm(); }

// membership(handle, add, type, address?): address is six bytes
void membership(const Napi::CallbackInfo& info) {
  PacketSocket& socket = socketOf(info);
  const bool add = argument::boolean(info.Env(), info[1], "add");
  const auto type = argument::integer<uint16_t>(info.Env(), info[2], "type");
  socket.membership(add, type, addressOf(info.Env(), info[3]));
}

// filter(handle, program)
void filter(const Napi::CallbackInfo& info) { socketOf(info).filter(info.Env(), info[1]); }

// statistics(handle): { received, truncated, dropped, undescribed } since open
Napi::Value statistics(const Napi::CallbackInfo& info) { return socketOf(info).statistics(info.Env()); }

// bufferSizes(handle): { receive, send }, bytes: of the ring, or as the kernel accounts them (twice what was asked for;
// socket(7))
Napi::Value bufferSizes(const Napi::CallbackInfo& info) {
  PacketSocket& socket = socketOf(info);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("receive", Napi::Number::New(info.Env(), socket.receiveBuffer()));
  result.Set("send", Napi::Number::New(info.Env(), socket.sendBuffer()));
  return result;
}

}  // namespace

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object ethernet = Napi::Object::New(env);
  ethernet.Set("open", Napi::Function::New<open>(env, "open"));
  ethernet.Set("ring", Napi::Function::New<ring>(env, "ring"));
  ethernet.Set("timestamps", Napi::Function::New<timestamps>(env, "timestamps"));
  ethernet.Set("bind", Napi::Function::New<bind>(env, "bind"));
  ethernet.Set("fanout", Napi::Function::New<fanout>(env, "fanout"));
  ethernet.Set("receiveBell", Napi::Function::New<receiveBell>(env, "receiveBell"));
  ethernet.Set("transmitBell", Napi::Function::New<transmitBell>(env, "transmitBell"));
  ethernet.Set("arm", Napi::Function::New<arm>(env, "arm"));
  ethernet.Set("disarm", Napi::Function::New<disarm>(env, "disarm"));
  ethernet.Set("membership", Napi::Function::New<membership>(env, "membership"));
  ethernet.Set("filter", Napi::Function::New<filter>(env, "filter"));
  ethernet.Set("statistics", Napi::Function::New<statistics>(env, "statistics"));
  ethernet.Set("bufferSizes", Napi::Function::New<bufferSizes>(env, "bufferSizes"));
  ethernet.Set("interfaces", Napi::Function::New<interfaces>(env, "interfaces"));
  initializeLinkWatch(env, ethernet);
  initializePacketFilter(env, ethernet);
  initializeXdp(env, ethernet);
  initializeEthtool(env, ethernet);
  initializeRawPacketQueue(env, ethernet);
  exports.Set("ethernet", ethernet);
  initializeNetlink(env, exports);
}

}  // namespace ethernet

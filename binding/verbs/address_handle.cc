#include "verbs/address_handle.h"

#include <arpa/inet.h>

#include <cstring>

#include "argument.h"
#include "shared_memory.h"
#include "verbs/verbs.h"

namespace verbs {

ibv_ah_attr addressVector(Napi::Env env, Napi::Value value, const char* name) {
  Napi::Object vector = argument::object(env, value, name);
  ibv_ah_attr attributes{};
  attributes.port_num = argument::field<uint8_t>(vector, "port");
  attributes.sl = argument::field<uint8_t>(vector, "serviceLevel");
  attributes.dlid = argument::field<uint16_t>(vector, "lid");
  attributes.src_path_bits = argument::field<uint8_t>(vector, "sourcePathBits");
  attributes.static_rate = argument::field<uint8_t>(vector, "staticRate");
  if (vector.Get("gid").IsString()) {
    const std::string gid = vector.Get("gid").As<Napi::String>();
    if (inet_pton(AF_INET6, gid.c_str(), attributes.grh.dgid.raw) != 1) {
      throwArgumentRange(env, "gid", "a GID such as fe80::1 or ::ffff:10.0.0.1");
    }
    attributes.is_global = 1;
    attributes.grh.sgid_index = argument::field<uint8_t>(vector, "gidIndex");
    attributes.grh.hop_limit = argument::field<uint8_t>(vector, "hopLimit");
    attributes.grh.traffic_class = argument::field<uint8_t>(vector, "trafficClass");
    attributes.grh.flow_label = argument::field<uint32_t>(vector, "flowLabel");
  }
  return attributes;
}

Napi::Object addressVector(Napi::Env env, const ibv_ah_attr& attributes) {
  Napi::Object vector = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { vector.Set(name, Napi::Number::New(env, value)); };
  if (attributes.is_global) {
    char gid[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, attributes.grh.dgid.raw, gid, sizeof gid);
    vector.Set("gid", gid);
    set("gidIndex", attributes.grh.sgid_index);
    set("hopLimit", attributes.grh.hop_limit);
    set("trafficClass", attributes.grh.traffic_class);
    set("flowLabel", attributes.grh.flow_label);
  }
  set("port", attributes.port_num);
  set("serviceLevel", attributes.sl);
  set("lid", attributes.dlid);
  set("sourcePathBits", attributes.src_path_bits);
  set("staticRate", attributes.static_rate);
  return vector;
}

std::string wayOf(const ibv_ah_attr& attributes, int error) {
  const std::string port = "port " + std::to_string(attributes.port_num);
  if (!attributes.is_global) return "to LID " + std::to_string(attributes.dlid) + " from " + port;
  char gid[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, attributes.grh.dgid.raw, gid, sizeof gid);
  const std::string way =
      std::string("to ") + gid + " from GID index " + std::to_string(attributes.grh.sgid_index) + " of " + port;
  if (error != ETIMEDOUT) return way;
  // The kernel resolves the neighbour and waits for its answer (rdma_addr_find_l2_eth_by_grh).
  return way + ": nobody there answers. The call blocks while the kernel looks for the neighbour, for a second or more";
}

namespace {

// addressVectorOf(domain, port, path, grh): ibv_init_ah_from_wc(3); the GRH is null where the completion has none
Napi::Value addressVectorOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  ProtectionDomain& domain = Environment::of(env).handle<ProtectionDomain>(info, 0, "domain");
  const auto port = static_cast<uint8_t>(argument::uint32(info, 1, "port"));
  const uint32_t path = argument::uint32(info, 2, "path");
  ibv_wc completion{};
  completion.slid = static_cast<uint16_t>(path);
  completion.sl = path >> 16 & 0xff;
  completion.dlid_path_bits = static_cast<uint8_t>(path >> 24);
  ibv_grh route{};
  if (!info[3].IsNull()) {
    const SharedMemory bytes(env, info[3], "grh");
    if (bytes.length() != sizeof route) throwArgumentRange(env, "grh", "40 bytes");
    std::memcpy(&route, bytes.data(), sizeof route);
    completion.wc_flags = IBV_WC_GRH;
  }
  ibv_ah_attr attributes{};
  errno = 0;
  if (ibv_init_ah_from_wc(domain.context.ibv, port, &completion, &route, &attributes)) {
    throwErrno(env, errno ? errno : EINVAL, "ibv_init_ah_from_wc",
               "the first 40 bytes of the receive are no global route header to a GID of port " + std::to_string(port));
  }
  return addressVector(env, attributes);
}

// createAddressHandle(domain, addressVector): ibv_create_ah(3)
Napi::Value createAddressHandle(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  ibv_ah_attr attributes = addressVector(info.Env(), info[1], "addressVector");
  ProtectionDomain& domain = environment.handle<ProtectionDomain>(info, 0, "domain");
  ibv_ah* handle = ibv_create_ah(domain.ibv, &attributes);
  if (!handle) {
    const int error = errno;
    throwErrno(info.Env(), error, "ibv_create_ah", wayOf(attributes, error));
  }
  return environment.open(std::make_unique<AddressHandle>(domain, handle));
}

}  // namespace

void initializeAddressHandle(Napi::Env env, Napi::Object exports) {
  exports.Set("addressVectorOf", Napi::Function::New(env, addressVectorOf, "addressVectorOf"));
  exports.Set("createAddressHandle", Napi::Function::New(env, createAddressHandle, "createAddressHandle"));
}

}  // namespace verbs

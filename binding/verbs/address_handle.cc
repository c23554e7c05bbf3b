#include "verbs/address_handle.h"

#include <arpa/inet.h>

#include "argument.h"
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

namespace {

// createAddressHandle(domain, addressVector): ibv_create_ah(3)
Napi::Value createAddressHandle(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  ibv_ah_attr attributes = addressVector(info.Env(), info[1], "addressVector");
  ProtectionDomain& domain = environment.handle<ProtectionDomain>(info, 0, "domain");
  ibv_ah* handle = ibv_create_ah(domain.ibv, &attributes);
  if (!handle) {
    throwErrno(info.Env(), errno, "ibv_create_ah",
               attributes.is_global ? "from GID index " + std::to_string(attributes.grh.sgid_index) + " of port " +
                                          std::to_string(attributes.port_num)
                                    : "from port " + std::to_string(attributes.port_num));
  }
  return environment.open(std::make_unique<AddressHandle>(domain, handle));
}

}  // namespace

void initializeAddressHandle(Napi::Env env, Napi::Object exports) {
  exports.Set("createAddressHandle", Napi::Function::New(env, createAddressHandle, "createAddressHandle"));
}

}  // namespace verbs

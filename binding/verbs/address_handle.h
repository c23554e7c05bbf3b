#pragma once

#include "verbs/protection_domain.h"

namespace verbs {

class AddressHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::AddressHandle;

  AddressHandle(ProtectionDomain& domain, ibv_ah* ibv) : Handle(kKind, {&domain}), domain(domain), ibv(ibv) {}

  int release(const char** syscall) override {
    *syscall = "ibv_destroy_ah";
    return ibv_destroy_ah(ibv);
  }

  ProtectionDomain& domain;
  ibv_ah* const ibv;
};

// Reads an address vector: { port, serviceLevel, lid, sourcePathBits, staticRate } and, where `gid` is a string,
// { gid, gidIndex, hopLimit, trafficClass, flowLabel } of a global route.
ibv_ah_attr addressVector(Napi::Env env, Napi::Value value, const char* name);
// Writes one as such an object.
Napi::Object addressVector(Napi::Env env, const ibv_ah_attr& attributes);

// The path of an address vector in words, for the message of `error`.
std::string wayOf(const ibv_ah_attr& attributes, int error);

}  // namespace verbs

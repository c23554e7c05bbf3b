// ibv_device_attr_ex and ibv_port_attr as plain objects: the C names in camelCase, 64-bit values as BigInt.
#pragma once

#include <napi.h>

#include "verbs/rdma_core.h"

namespace verbs {

Napi::Object deviceAttributes(Napi::Env env, const ibv_device_attr_ex& attributes);

// struct ibv_port_attr as the installed libibverbs has it, which may be newer than the headers.
struct PortAttributes {
  alignas(ibv_port_attr) uint8_t bytes[128];
};

// ibv_query_port(3): an errno or 0.
int readPort(ibv_context* context, uint8_t port, PortAttributes* attributes);
Napi::Object portAttributes(Napi::Env env, const PortAttributes& attributes);

}  // namespace verbs

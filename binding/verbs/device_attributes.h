// ibv_device_attr_ex and ibv_port_attr as plain objects: the C names in camelCase, 64-bit values as BigInt.
#pragma once

#include <napi.h>

#include "verbs/rdma_core.h"

namespace verbs {

Napi::Object deviceAttributes(Napi::Env env, const ibv_device_attr_ex& attributes);
Napi::Object portAttributes(Napi::Env env, const ibv_port_attr& attributes);

}  // namespace verbs

// The network interfaces of this network namespace.
#pragma once

#include <napi.h>

namespace ethernet {

// interfaces(): [{ name, index, type, flags, mtu, mac }], mac a Uint8Array of the hardware address' length
Napi::Value interfaces(const Napi::CallbackInfo& info);

}  // namespace ethernet

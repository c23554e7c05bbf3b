// The network interfaces of this network namespace.
#pragma once

#include <napi.h>

namespace ethernet {

// interfaces(): [{ name, index, type, flags, mtu, mac }], mac a Uint8Array of 6 bytes, or of none where it is not
// Ethernet
Napi::Value interfaces(const Napi::CallbackInfo& info);

}  // namespace ethernet

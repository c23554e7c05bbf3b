// The ethtool operations of a device (SIOCETHTOOL; linux/ethtool.h): its channels, and the rules by which it spreads
// frames over its receive queues.
#pragma once

#include <napi.h>

namespace ethernet {

// exports.ethtool = the functions of native.ts's EthtoolNative
void initializeEthtool(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

// AF_XDP as lib/ethernet/ calls it.
#pragma once

#include <napi.h>

namespace ethernet {

// exports.xdp = the functions of native.ts's XdpNative
void initializeXdp(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

// Raw Ethernet: packet sockets and AF_XDP sockets.
#pragma once

#include <napi.h>

namespace ethernet {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

// Raw Ethernet: packet sockets today.
#pragma once

#include <napi.h>

namespace ethernet {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

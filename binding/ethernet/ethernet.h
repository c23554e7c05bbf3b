// Raw Ethernet: packet sockets, AF_XDP sockets, and routing sockets to know where frames go.
#pragma once

#include <napi.h>

namespace ethernet {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace ethernet

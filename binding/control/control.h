// Who is at the other end of a Unix socket: what lib/control asks of the kernel, and Node does not tell.
#pragma once

#include <napi.h>

namespace control {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace control

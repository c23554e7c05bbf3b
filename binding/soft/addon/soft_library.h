// The addon's side of the software ConnectX: opens the shared library beside it, when it is asked to, and calls it.
#pragma once

#include <napi.h>

namespace soft_library {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace soft_library

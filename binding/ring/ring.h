// The ring vocabulary's native side: memory that JavaScript, the kernel and the device share.
#pragma once

#include <napi.h>

namespace ring {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace ring

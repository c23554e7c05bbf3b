// libibverbs: device, PD, MR, CQ, QP, AH.
#pragma once

#include <napi.h>

namespace verbs {

void initialize(Napi::Env env, Napi::Object exports);

}  // namespace verbs

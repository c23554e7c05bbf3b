// libibverbs: device, PD, MR, CQ, QP, AH, flow. Each file registers its own functions on `exports.verbs`.
#pragma once

#include <napi.h>

namespace verbs {

void initialize(Napi::Env env, Napi::Object exports);

void initializeDevice(Napi::Env env, Napi::Object exports);
void initializeContext(Napi::Env env, Napi::Object exports);
void initializeProtectionDomain(Napi::Env env, Napi::Object exports);
void initializeMemoryRegion(Napi::Env env, Napi::Object exports);
void initializeCompletionQueue(Napi::Env env, Napi::Object exports);
void initializeQueuePair(Napi::Env env, Napi::Object exports);
void initializePost(Napi::Env env, Napi::Object exports);
void initializeAddressHandle(Napi::Env env, Napi::Object exports);
void initializeFlow(Napi::Env env, Napi::Object exports);

}  // namespace verbs

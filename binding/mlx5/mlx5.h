// Direct verbs (mlx5dv(7)). A queue pair or a completion queue is one of verbs'; what this adds is that its rings lie
// in memory of JavaScript's (ring_memory.h) and that JavaScript drives them (queue_pair_rings.h,
// completion_queue_ring.h).
#pragma once

#include <napi.h>

namespace mlx5 {

void initialize(Napi::Env env, Napi::Object exports);
void initializeDevice(Napi::Env env, Napi::Object exports);
void initializeInlineHeader(Napi::Env env, Napi::Object exports);
void initializeRings(Napi::Env env, Napi::Object exports);
void initializeWorkQueue(Napi::Env env, Napi::Object exports);

}  // namespace mlx5

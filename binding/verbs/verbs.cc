#include "verbs/verbs.h"

namespace verbs {

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object verbs = Napi::Object::New(env);
  initializeDevice(env, verbs);
  initializeContext(env, verbs);
  initializeProtectionDomain(env, verbs);
  initializeMemoryRegion(env, verbs);
  initializeCompletionQueue(env, verbs);
  initializeQueuePair(env, verbs);
  initializePost(env, verbs);
  initializeAddressHandle(env, verbs);
  initializeFlow(env, verbs);
  exports.Set("verbs", verbs);
}

}  // namespace verbs

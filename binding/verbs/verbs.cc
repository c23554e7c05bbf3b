#include "verbs/verbs.h"

namespace verbs {

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object verbs = Napi::Object::New(env);
  exports.Set("verbs", verbs);
}

}  // namespace verbs

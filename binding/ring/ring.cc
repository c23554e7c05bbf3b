#include "ring/ring.h"

#include "ring/arena.h"

namespace ring {

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object ring = Napi::Object::New(env);
  initializeArena(env, ring);
  exports.Set("ring", ring);
}

}  // namespace ring

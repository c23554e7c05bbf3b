#include "ethernet/ethernet.h"

namespace ethernet {

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object ethernet = Napi::Object::New(env);
  exports.Set("ethernet", ethernet);
}

}  // namespace ethernet

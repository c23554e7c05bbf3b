#include "verbs/protection_domain.h"

#include "verbs/verbs.h"

namespace verbs {
namespace {

// allocateProtectionDomain(context): ibv_alloc_pd(3)
Napi::Value allocateProtectionDomain(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  Context& context = environment.handle<Context>(info, 0, "context");
  ibv_pd* domain = ibv_alloc_pd(context.ibv);
  if (!domain) throwErrno(info.Env(), errno, "ibv_alloc_pd");
  return environment.open(std::make_unique<ProtectionDomain>(context, domain));
}

}  // namespace

void initializeProtectionDomain(Napi::Env env, Napi::Object exports) {
  exports.Set("allocateProtectionDomain",
              Napi::Function::New(env, allocateProtectionDomain, "allocateProtectionDomain"));
}

}  // namespace verbs

#pragma once

#include "verbs/context.h"

namespace verbs {

class ProtectionDomain : public Handle {
 public:
  static constexpr Kind kKind = Kind::ProtectionDomain;

  ProtectionDomain(Context& context, ibv_pd* ibv) : Handle(kKind, {&context}), context(context), ibv(ibv) {}

  int release(const char** syscall) override {
    *syscall = "ibv_dealloc_pd";
    return ibv_dealloc_pd(ibv);
  }

  Context& context;
  ibv_pd* const ibv;
};

}  // namespace verbs

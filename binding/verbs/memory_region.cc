#include "verbs/memory_region.h"

#include <unistd.h>

#include "argument.h"
#include "verbs/verbs.h"

namespace verbs {
namespace {

// registerMemory(domain, bytes, access, fromPage): ibv_reg_mr(3), or ibv_reg_mr_iova(3), so that the device's addresses
// are offsets from the page in which the memory begins (uverbs refuses another offset in the page): such a region is
// for nobody who posts through libibverbs. { handle, lkey, rkey, address }
Napi::Value registerMemory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = Environment::of(env);
  ProtectionDomain& domain = environment.handle<ProtectionDomain>(info, 0, "domain");
  SharedMemory memory(env, info[1], "memory");
  const int access = static_cast<int>(argument::uint32(info, 2, "access"));
  const bool fromPage = argument::boolean(env, info[3], "fromPage");
  const auto inPage = reinterpret_cast<uintptr_t>(memory.data()) % static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  ibv_mr* region = fromPage ? ibv_reg_mr_iova(domain.ibv, memory.data(), memory.length(), inPage, access)
                            : ibv_reg_mr(domain.ibv, memory.data(), memory.length(), access);
  if (!region) {
    throwErrno(env, errno, fromPage ? "ibv_reg_mr_iova" : "ibv_reg_mr", std::to_string(memory.length()) + " bytes");
  }
  const uint32_t lkey = region->lkey, rkey = region->rkey;
  const auto address = static_cast<uint64_t>(fromPage ? inPage : reinterpret_cast<uintptr_t>(region->addr));
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", environment.open(std::make_unique<MemoryRegion>(domain, region, std::move(memory), access)));
  result.Set("lkey", Napi::Number::New(env, lkey));
  result.Set("rkey", Napi::Number::New(env, rkey));
  result.Set("address", Napi::BigInt::New(env, address));
  return result;
}

}  // namespace

void initializeMemoryRegion(Napi::Env env, Napi::Object exports) {
  exports.Set("registerMemory", Napi::Function::New(env, registerMemory, "registerMemory"));
}

}  // namespace verbs

#include "environment.h"
#include "mlx5/libmlx5.h"
#include "mlx5/mlx5.h"
#include "verbs/context.h"

namespace mlx5 {
namespace {

verbs::Context& contextOf(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).handle<verbs::Context>(info, 0, "context");
}

// unavailable(): why libmlx5 cannot be opened; null when it is
Napi::Value unavailableWords(const Napi::CallbackInfo& info) {
  if (unavailable().empty()) return info.Env().Null();
  return Napi::String::New(info.Env(), unavailable());
}

// isSupported(context): mlx5dv_is_supported(3)
Napi::Value isSupportedDevice(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), isSupported(contextOf(info).ibv));
}

// queryDevice(context): mlx5dv_query_device(3). Members of struct mlx5dv_context; those that the library or the device
// does not know are left out, as comp_mask says.
Napi::Value queryDevice(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  verbs::Context& context = contextOf(info);
  mlx5dv_context attributes{};
  attributes.comp_mask = MLX5DV_CONTEXT_MASK_CQE_COMPRESION | MLX5DV_CONTEXT_MASK_SWP |
                         MLX5DV_CONTEXT_MASK_STRIDING_RQ | MLX5DV_CONTEXT_MASK_TUNNEL_OFFLOADS |
                         MLX5DV_CONTEXT_MASK_DYN_BFREGS | MLX5DV_CONTEXT_MASK_CLOCK_INFO_UPDATE |
                         MLX5DV_CONTEXT_MASK_NUM_LAG_PORTS;
  const int error = mlx5dv_query_device(context.ibv, &attributes);
  if (error) throwErrno(env, error, "mlx5dv_query_device");
  Napi::Object result = Napi::Object::New(env);
  const auto put = [&](Napi::Object& object, const char* name, double value) {
    object.Set(name, Napi::Number::New(env, value));
  };
  put(result, "version", attributes.version);
  put(result, "flags", static_cast<double>(attributes.flags));
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_CQE_COMPRESION) {
    Napi::Object caps = Napi::Object::New(env);
    put(caps, "maxCompletions", attributes.cqe_comp_caps.max_num);
    put(caps, "formats", attributes.cqe_comp_caps.supported_format);
    result.Set("compression", caps);
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_SWP) {
    Napi::Object caps = Napi::Object::New(env);
    put(caps, "offloads", attributes.sw_parsing_caps.sw_parsing_offloads);
    put(caps, "queuePairTypes", attributes.sw_parsing_caps.supported_qpts);
    result.Set("softwareParsing", caps);
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_STRIDING_RQ) {
    const mlx5dv_striding_rq_caps& striding = attributes.striding_rq_caps;
    Napi::Object caps = Napi::Object::New(env);
    put(caps, "minLogStrideBytes", striding.min_single_stride_log_num_of_bytes);
    put(caps, "maxLogStrideBytes", striding.max_single_stride_log_num_of_bytes);
    put(caps, "minLogStrides", striding.min_single_wqe_log_num_of_strides);
    put(caps, "maxLogStrides", striding.max_single_wqe_log_num_of_strides);
    put(caps, "queuePairTypes", striding.supported_qpts);
    result.Set("striding", caps);
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_TUNNEL_OFFLOADS) {
    put(result, "tunnelOffloads", attributes.tunnel_offloads_caps);
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_DYN_BFREGS) {
    put(result, "maxDynamicRegisters", attributes.max_dynamic_bfregs);
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_CLOCK_INFO_UPDATE) {
    put(result, "maxClockInfoUpdate", static_cast<double>(attributes.max_clock_info_update_nsec));
  }
  if (attributes.comp_mask & MLX5DV_CONTEXT_MASK_NUM_LAG_PORTS) put(result, "lagPorts", attributes.num_lag_ports);
  return result;
}

// clockInfo(context): mlx5dv_get_clock_info(3), what converts cycles to nanoseconds since 1970: BigInts
Napi::Value clockInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  verbs::Context& context = contextOf(info);
  mlx5dv_clock_info clock{};
  const int error = mlx5dv_get_clock_info(context.ibv, &clock);
  if (error) throwErrno(env, error, "mlx5dv_get_clock_info");
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) { result.Set(name, Napi::BigInt::New(env, value)); };
  set("nanoseconds", clock.nsec);
  set("lastCycles", clock.last_cycles);
  set("fraction", clock.frac);
  set("multiplier", clock.mult);
  set("shift", clock.shift);
  set("mask", clock.mask);
  return result;
}

}  // namespace

void initializeDevice(Napi::Env env, Napi::Object exports) {
  exports.Set("unavailable", Napi::Function::New(env, unavailableWords, "unavailable"));
  exports.Set("isSupported", Napi::Function::New(env, isSupportedDevice, "isSupported"));
  exports.Set("queryDevice", Napi::Function::New(env, queryDevice, "queryDevice"));
  exports.Set("clockInfo", Napi::Function::New(env, clockInfo, "clockInfo"));
}

}  // namespace mlx5

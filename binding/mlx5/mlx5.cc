#include "mlx5/mlx5.h"

namespace mlx5 {

void initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object mlx5 = Napi::Object::New(env);
  initializeDevice(env, mlx5);
  initializeInlineHeader(env, mlx5);
  initializeRings(env, mlx5);
  initializeWorkQueue(env, mlx5);
  exports.Set("mlx5", mlx5);
}

}  // namespace mlx5

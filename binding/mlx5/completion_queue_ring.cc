#include "mlx5/completion_queue_ring.h"

#include <endian.h>

#include "mlx5/barrier.h"

namespace mlx5 {
namespace {

// The second word of a completion queue's doorbell record (providers/mlx5/mlx5.h, MLX5_CQ_ARM_DB).
constexpr size_t kArmRecord = 1;

}  // namespace

int CompletionQueueRing::take(ibv_cq* queue) {
  mlx5dv_obj object{};
  object.cq.in = queue;
  object.cq.out = &ring_;
  return mlx5dv_init_obj(&object, MLX5DV_OBJ_CQ);
}

Napi::Object CompletionQueueRing::describe(Napi::Env env) const {
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env, value)); };
  set("offset", static_cast<double>(memory.offsetOf(ring_.buf, size_t{ring_.cqe_cnt} * ring_.cqe_size)));
  set("count", ring_.cqe_cnt);
  set("stride", ring_.cqe_size);
  set("record", static_cast<double>(memory.offsetOf(ring_.dbrec, 8)));
  set("number", ring_.cqn);
  return result;
}

// As libmlx5's own (providers/mlx5/cq.c, mlx5_arm_cq): the record, then the register.
void CompletionQueueRing::arm(CompletionQueueRing& ring, int32_t* mailbox) {
  mlx5dv_cq& cq = ring.ring_;
  if (!cq.buf) return;
  mailbox[kRung] = 1;
  const auto word = static_cast<uint32_t>(mailbox[kArm]);
  __atomic_store_n(&cq.dbrec[kArmRecord], htobe32(word), __ATOMIC_RELEASE);
  registerBarrier();
  writeRegister(static_cast<uint8_t*>(cq.cq_uar) + MLX5_CQ_DOORBELL, htobe64(uint64_t{word} << 32 | cq.cqn));
  registerBarrier();
}

}  // namespace mlx5

#include "mlx5/completion_queue_ring.h"

#include <endian.h>

#include "mlx5/barrier.h"

namespace mlx5 {
namespace {

// The words of a completion queue's doorbell record (providers/mlx5/mlx5.h, MLX5_CQ_SET_CI and MLX5_CQ_ARM_DB).
constexpr size_t kSetConsumerIndex = 0, kArmRecord = 1;

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

bool CompletionQueueRing::tellsOf(uint16_t wqeCounter) const {
  if (!ring_.buf) return true;
  const uint32_t taken = be32toh(__atomic_load_n(&ring_.dbrec[kSetConsumerIndex], __ATOMIC_RELAXED));
  for (uint32_t i = 0; i < ring_.cqe_cnt; i++) {
    const uint32_t index = (taken + i) & 0xffffff;
    // An entry of 128 bytes has the one of 64 in its second half.
    const auto* entry = reinterpret_cast<const mlx5_cqe64*>(static_cast<const uint8_t*>(ring_.buf) +
                                                            size_t{(index & (ring_.cqe_cnt - 1)) + 1} * ring_.cqe_size -
                                                            sizeof(mlx5_cqe64));
    const uint8_t owner = __atomic_load_n(&entry->op_own, __ATOMIC_ACQUIRE);
    if (owner >> 4 == MLX5_CQE_INVALID || (owner & MLX5_CQE_OWNER_MASK) != !!(index & ring_.cqe_cnt)) return false;
    if (owner >> 4 != MLX5_CQE_REQ || be16toh(entry->wqe_counter) == wqeCounter) return true;
  }
  return false;
}

}  // namespace mlx5

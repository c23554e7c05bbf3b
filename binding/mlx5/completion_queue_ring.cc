#include "mlx5/completion_queue_ring.h"

#include <endian.h>

#include <cstring>

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

// An entry of 128 bytes has the one of 64 in its second half.
mlx5_cqe64* CompletionQueueRing::entry(uint32_t index) const {
  return reinterpret_cast<mlx5_cqe64*>(static_cast<uint8_t*>(ring_.buf) +
                                       size_t{(index & (ring_.cqe_cnt - 1)) + 1} * ring_.cqe_size - sizeof(mlx5_cqe64));
}

bool CompletionQueueRing::isThere(uint32_t index) const {
  const uint8_t owner = __atomic_load_n(&entry(index)->op_own, __ATOMIC_ACQUIRE);
  return owner >> 4 != MLX5_CQE_INVALID && (owner & MLX5_CQE_OWNER_MASK) == !!(index & ring_.cqe_cnt);
}

bool CompletionQueueRing::tellsOf(uint16_t wqeCounter) const {
  if (!ring_.buf) return true;
  const uint32_t taken = be32toh(__atomic_load_n(&ring_.dbrec[kSetConsumerIndex], __ATOMIC_RELAXED));
  for (uint32_t i = 0; i < ring_.cqe_cnt; i++) {
    const uint32_t index = (taken + i) & 0xffffff;
    if (!isThere(index)) return false;
    if (entry(index)->op_own >> 4 != MLX5_CQE_REQ || be16toh(entry(index)->wqe_counter) == wqeCounter) return true;
  }
  return false;
}

// As libmlx5's own: from the newest entry back, those of other queue pairs move into the places of those that go, and
// the consumer index goes forward.
void CompletionQueueRing::clean(uint32_t queuePair) {
  int32_t* mailbox = bell_.mailbox();
  if (!ring_.buf || !mailbox || mailbox[kDriven] != 1) return;
  const auto first = static_cast<uint32_t>(mailbox[kConsumer]);
  uint32_t end = first;
  while (end - first < ring_.cqe_cnt && isThere(end)) end++;
  uint32_t to = end;
  for (uint32_t from = end; from != first;) {
    from--;
    if ((be32toh(entry(from)->sop_drop_qpn) & 0xffffff) == queuePair) continue;
    if (--to == from) continue;
    mlx5_cqe64* target = entry(to);
    const uint8_t lap = target->op_own & MLX5_CQE_OWNER_MASK;
    const size_t before = ring_.cqe_size - sizeof(mlx5_cqe64);
    memcpy(reinterpret_cast<uint8_t*>(target) - before, reinterpret_cast<const uint8_t*>(entry(from)) - before,
           ring_.cqe_size);
    target->op_own = static_cast<uint8_t>((target->op_own & ~MLX5_CQE_OWNER_MASK) | lap);
  }
  if (to == first) return;
  mailbox[kConsumer] = static_cast<int32_t>(to);
  __atomic_store_n(&ring_.dbrec[kSetConsumerIndex], htobe32(to & 0xffffff), __ATOMIC_RELEASE);
}

}  // namespace mlx5

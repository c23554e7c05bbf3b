#include "mlx5/queue_pair_rings.h"

#include <endian.h>
#include <sched.h>

#include <algorithm>
#include <cstring>

#include "clock.h"
#include "mlx5/barrier.h"

namespace mlx5 {
namespace {

// Nanoseconds that a close waits for sends at most.
constexpr uint64_t kPatience = 200000000;

}  // namespace

int QueuePairRings::take(ibv_qp* pair) {
  mlx5dv_obj object{};
  object.qp.in = pair;
  object.qp.out = &rings_;
  return mlx5dv_init_obj(&object, MLX5DV_OBJ_QP);
}

Napi::Object QueuePairRings::describe(Napi::Env env) const {
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env, value)); };
  const auto ring = [&](const char* name, const void* at, uint32_t count, uint32_t stride) {
    Napi::Object place = Napi::Object::New(env);
    place.Set("offset", Napi::Number::New(env, static_cast<double>(memory.offsetOf(at, size_t{count} * stride))));
    place.Set("count", Napi::Number::New(env, count));
    place.Set("stride", Napi::Number::New(env, stride));
    result.Set(name, place);
  };
  ring("send", rings_.sq.buf, rings_.sq.wqe_cnt, rings_.sq.stride);
  ring("receive", rings_.rq.buf, rings_.rq.wqe_cnt, rings_.rq.stride);
  set("record", static_cast<double>(memory.offsetOf(rings_.dbrec, 8)));
  set("blueFlame", rings_.bf.size);
  return result;
}

void QueuePairRings::ring(QueuePairRings& rings, int32_t* mailbox) {
  const auto word = [&](size_t at) { return static_cast<uint32_t>(mailbox[at]); };
  rings.ring(static_cast<uint16_t>(word(kProducer)), static_cast<uint16_t>(word(kLast)), word(kBlueFlame));
  mailbox[kStatus] = 0;
  mailbox[kRung] = rings.producer_;
}

// As libmlx5's own (providers/mlx5/qp.c, post_send_db): requests, then the record, then the register. The numbers are
// JavaScript's and may be any: what is read lies within the ring, and what is written within the register.
void QueuePairRings::ring(uint16_t producer, uint16_t last, uint32_t blueFlame) {
  if (rings_.sq.wqe_cnt == 0) return;  // not taken yet
  producer_ = producer;
  last_ = last;
  memoryBeforeMemory();
  __atomic_store_n(&rings_.dbrec[MLX5_SND_DBR], htobe32(producer), __ATOMIC_RELEASE);
  registerBarrier();
  auto* to = static_cast<uint8_t*>(rings_.bf.reg) + half_;
  const uint32_t most = std::min(rings_.bf.size, rings_.sq.wqe_cnt * MLX5_SEND_WQE_BB);
  if (blueFlame == 0 || blueFlame > most) {
    uint64_t first;
    memcpy(&first, block(last), sizeof first);
    writeRegister(to, first);
  } else {
    for (uint32_t done = 0; done < blueFlame; done += MLX5_SEND_WQE_BB) {
      const uint8_t* from = block(last + done / MLX5_SEND_WQE_BB);
      for (uint32_t i = 0; i < MLX5_SEND_WQE_BB; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, from + i, sizeof word);
        writeRegister(to + done + i, word);
      }
    }
  }
  registerBarrier();
  half_ ^= rings_.bf.size;  // 0 where the register has no halves
}

void QueuePairRings::awaitSends(const CompletionQueueRing& completions) const {
  const int32_t* mailbox = bell_.mailbox();
  if (!mailbox || mailbox[kCompleted] < 0 || static_cast<uint16_t>(mailbox[kCompleted]) == producer_) return;
  const uint64_t deadline = monotonicNanoseconds() + kPatience;
  while (!completions.tellsOf(last_) && monotonicNanoseconds() < deadline) sched_yield();
}

}  // namespace mlx5

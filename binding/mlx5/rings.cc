#include <cstring>

#include "environment.h"
#include "mlx5/mlx5.h"
#include "verbs/address_handle.h"
#include "verbs/completion_queue.h"
#include "verbs/queue_pair.h"

namespace mlx5 {
namespace {

[[noreturn]] void throwOwnMemory(Napi::Env env, const char* argument) {
  throwArgumentRange(env, argument, "created with memory for its rings");
}

verbs::QueuePair& pairOf(const Napi::CallbackInfo& info) {
  auto& pair = Environment::of(info.Env()).handle<verbs::QueuePair>(info, 0, "queue pair");
  if (!pair.rings) throwOwnMemory(info.Env(), "pair");
  return pair;
}

verbs::CompletionQueue& queueOf(const Napi::CallbackInfo& info) {
  auto& queue = Environment::of(info.Env()).handle<verbs::CompletionQueue>(info, 0, "completion queue");
  if (!queue.ring) throwOwnMemory(info.Env(), "queue");
  return queue;
}

// takeQueuePair(pair): from here on JavaScript drives its rings, and verbs posts nothing.
// { send: { offset, count, stride }, receive, record, blueFlame }
Napi::Value takeQueuePair(const Napi::CallbackInfo& info) {
  verbs::QueuePair& pair = pairOf(info);
  const int error = pair.rings->take(pair.ibv);
  if (error) throwErrno(info.Env(), error, "mlx5dv_init_obj");
  return pair.rings->describe(info.Env());
}

// sendBell(pair, mailbox): a function that tells the device of the sends that the mailbox names
Napi::Value sendBell(const Napi::CallbackInfo& info) { return pairOf(info).rings->sendBell(info.Env(), info[1]); }

// takeCompletionQueue(queue): from here on JavaScript reads its ring, and verbs polls nothing.
// { offset, count, stride, record, number }
Napi::Value takeCompletionQueue(const Napi::CallbackInfo& info) {
  verbs::CompletionQueue& queue = queueOf(info);
  const int error = queue.ring->take(queue.ibv);
  if (error) throwErrno(info.Env(), error, "mlx5dv_init_obj");
  return queue.ring->describe(info.Env());
}

// addressVector(addressHandle): the address vector as it lies in a request (struct mlx5_wqe_av), a copy
Napi::Value addressVector(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto& address = Environment::of(env).handle<verbs::AddressHandle>(info, 0, "address handle");
  mlx5dv_ah vector{};
  mlx5dv_obj object{};
  object.ah.in = address.ibv;
  object.ah.out = &vector;
  const int error = mlx5dv_init_obj(&object, MLX5DV_OBJ_AH);
  if (error) throwErrno(env, error, "mlx5dv_init_obj");
  auto copy = Napi::ArrayBuffer::New(env, sizeof *vector.av);
  memcpy(copy.Data(), vector.av, sizeof *vector.av);
  return copy;
}

// armBell(queue, mailbox): a function that asks for an event, as the mailbox says
Napi::Value armBell(const Napi::CallbackInfo& info) { return queueOf(info).ring->armBell(info.Env(), info[1]); }

}  // namespace

void initializeRings(Napi::Env env, Napi::Object exports) {
  exports.Set("takeQueuePair", Napi::Function::New(env, takeQueuePair, "takeQueuePair"));
  exports.Set("sendBell", Napi::Function::New(env, sendBell, "sendBell"));
  exports.Set("takeCompletionQueue", Napi::Function::New(env, takeCompletionQueue, "takeCompletionQueue"));
  exports.Set("addressVector", Napi::Function::New(env, addressVector, "addressVector"));
  exports.Set("armBell", Napi::Function::New(env, armBell, "armBell"));
}

}  // namespace mlx5

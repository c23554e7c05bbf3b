#include "mlx5/work_queue.h"

#include <algorithm>
#include <cerrno>

#include "argument.h"
#include "environment.h"
#include "mlx5/mlx5.h"

namespace mlx5 {
namespace {

// The most requests of a queue, and strides of a request (log2): products fit into 64 bits.
constexpr uint32_t kMostRequests = 1u << 24, kMostLogStrides = 16;

}  // namespace

int WorkQueue::release(const char** syscall) {
  *syscall = "ibv_destroy_wq";
  if (const int error = ibv_destroy_wq(ibv)) return error;
  // The queue was all that used the parent domain: nothing can refuse.
  memory.close(syscall);
  queue_.giveCredits(credits_);
  return 0;
}

int WorkQueue::take() {
  mlx5dv_obj object{};
  object.rwq.in = ibv;
  object.rwq.out = &ring_;
  return mlx5dv_init_obj(&object, MLX5DV_OBJ_RWQ);
}

Napi::Object WorkQueue::describe(Napi::Env env) const {
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env, value)); };
  set("offset", static_cast<double>(memory.offsetOf(ring_.buf, size_t{ring_.wqe_cnt} * ring_.stride)));
  set("count", ring_.wqe_cnt);
  set("stride", ring_.stride);
  set("record", static_cast<double>(memory.offsetOf(ring_.dbrec, 4)));
  return result;
}

int IndirectionTable::release(const char** syscall) {
  *syscall = "ibv_destroy_rwq_ind_table";
  return ibv_destroy_rwq_ind_table(ibv);
}

int RssQueuePair::release(const char** syscall) {
  *syscall = "ibv_destroy_qp";
  return ibv_destroy_qp(ibv);
}

namespace {

Environment& environmentOf(const Napi::CallbackInfo& info) { return Environment::of(info.Env()); }

// { handle, number }
Napi::Object opened(const Napi::CallbackInfo& info, std::unique_ptr<Handle> made, uint32_t number) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("handle", environmentOf(info).open(std::move(made)));
  result.Set("number", Napi::Number::New(info.Env(), number));
  return result;
}

// createWorkQueue(domain, queue, { maxWr, maxSge, flags, logStrideBytes, logStrides, twoByteShift }, memory):
// mlx5dv_create_wq(3), in RESET. `memory` is for its ring: see ring_memory.h. If it is too small the result is
// { handle: 0, lacking: bytes }. { handle, number }
Napi::Value createWorkQueue(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = environmentOf(info);
  Napi::Object options = argument::object(env, info[2], "options");
  const auto maxWr = argument::field<uint32_t>(options, "maxWr");
  const auto maxSge = argument::field<uint32_t>(options, "maxSge");
  const auto flags = argument::field<uint32_t>(options, "flags");
  const auto logStrideBytes = argument::field<uint32_t>(options, "logStrideBytes");
  const auto logStrides = argument::field<uint32_t>(options, "logStrides");
  const auto shift = argument::field<uint32_t>(options, "twoByteShift");
  if (maxWr == 0 || maxWr > kMostRequests) throwArgumentRange(env, "maxWr", "from 1 to 2^24");
  if (logStrides > kMostLogStrides) throwArgumentRange(env, "logStrides", "at most 16");
  auto& domain = environment.handle<verbs::ProtectionDomain>(info, 0, "domain");
  auto& queue = environment.handle<verbs::CompletionQueue>(info, 1, "completion queue");
  if (&queue.context != &domain.context) {
    throwArgumentRange(env, "cq", "a completion queue of the domain's own context");
  }
  const uint64_t credits = uint64_t{maxWr} << logStrides;
  if (credits > queue.freeCredits()) {
    throwErrno(env, ENOSPC, "ibv_create_wq",
               "the completion queue has " + std::to_string(queue.freeCredits()) + " of " +
                   std::to_string(queue.entries()) + " places left and maxWr requests may take " +
                   std::to_string(credits) + ": create it larger, or this work queue smaller");
  }
  auto made =
      std::make_unique<WorkQueue>(domain, queue, static_cast<uint32_t>(credits), SharedMemory(env, info[3], "memory"));
  const char* syscall;
  int error = made->memory.open(domain.ibv, false, &syscall);
  if (!error) {
    ibv_wq_init_attr attributes{};
    attributes.wq_context = made.get();
    attributes.wq_type = IBV_WQT_RQ;
    attributes.max_wr = maxWr;
    attributes.max_sge = maxSge;
    attributes.pd = made->memory.domain();
    attributes.cq = queue.ibv;
    if (flags != 0) {
      attributes.comp_mask = IBV_WQ_INIT_ATTR_FLAGS;
      attributes.create_flags = flags;
    }
    mlx5dv_wq_init_attr more{};
    if (logStrideBytes != 0) {
      more.comp_mask = MLX5DV_WQ_INIT_ATTR_MASK_STRIDING_RQ;
      more.striding_rq_attrs = {logStrideBytes, logStrides, static_cast<uint8_t>(shift != 0)};
    }
    syscall = "mlx5dv_create_wq";
    made->ibv = mlx5dv_create_wq(domain.context.ibv, &attributes, &more);
    if (!made->ibv) error = errno;
  }
  if (error) {
    const char* ignored;
    made->memory.close(&ignored);
    if (made->memory.lacking()) return lacking(env, made->memory);
    throwErrno(env, error, syscall);
  }
  // As ibv_create_wq(3) does, which mlx5dv_create_wq(3) does not go through: without it an event names nobody.
  made->ibv->wq_context = made.get();
  made->ibv->events_completed = 0;
  pthread_mutex_init(&made->ibv->mutex, nullptr);
  pthread_cond_init(&made->ibv->cond, nullptr);
  queue.takeCredits(static_cast<uint32_t>(credits));
  const uint32_t number = made->ibv->wq_num;
  return opened(info, std::move(made), number);
}

WorkQueue& queueOf(const Napi::CallbackInfo& info) {
  return environmentOf(info).handle<WorkQueue>(info, 0, "work queue");
}

// modifyWorkQueue(queue, state): ibv_modify_wq(3)
void modifyWorkQueue(const Napi::CallbackInfo& info) {
  ibv_wq_attr attributes{};
  attributes.attr_mask = IBV_WQ_ATTR_STATE;
  attributes.wq_state = static_cast<ibv_wq_state>(argument::uint32(info, 1, "state"));
  const int error = ibv_modify_wq(queueOf(info).ibv, &attributes);
  if (error) throwErrno(info.Env(), error, "ibv_modify_wq");
}

// takeWorkQueue(queue): where its ring lies, which JavaScript fills. { offset, count, stride, record }
Napi::Value takeWorkQueue(const Napi::CallbackInfo& info) {
  WorkQueue& queue = queueOf(info);
  if (const int error = queue.take()) throwErrno(info.Env(), error, "mlx5dv_init_obj");
  return queue.describe(info.Env());
}

// createIndirectionTable([queue, …]): ibv_create_rwq_ind_table(3); as many queues as a power of two. { handle, number }
Napi::Value createIndirectionTable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = environmentOf(info);
  if (!info[0].IsArray()) throwArgumentType(env, "queues", "an array of work queues");
  const auto list = info[0].As<Napi::Array>();
  const uint32_t count = list.Length();
  if (count == 0 || (count & (count - 1)) != 0 || count > 1u << 16) {
    throwArgumentRange(env, "queues", "as many as a power of two, at most 65536");
  }
  std::vector<uint32_t> ids(count);
  for (uint32_t i = 0; i < count; i++) {
    const Napi::Value id = list.Get(i);
    if (!id.IsNumber()) throwArgumentType(env, "queues", "an array of work queues");
    ids[i] = id.As<Napi::Number>().Uint32Value();
  }
  std::vector<ibv_wq*> queues(count);
  std::vector<Handle*> parents;
  for (uint32_t i = 0; i < count; i++) {
    auto& queue = environment.handle<WorkQueue>(ids[i], "work queue");
    queues[i] = queue.ibv;
    if (queue.ibv->context != queues[0]->context) throwArgumentRange(env, "queues", "of one context");
    if (std::find(parents.begin(), parents.end(), &queue) == parents.end()) parents.push_back(&queue);
  }
  ibv_rwq_ind_table_init_attr attributes{};
  attributes.log_ind_tbl_size = static_cast<uint32_t>(__builtin_ctz(count));
  attributes.ind_tbl = queues.data();
  auto table = std::make_unique<IndirectionTable>(std::move(parents));
  table->ibv = ibv_create_rwq_ind_table(queues[0]->context, &attributes);
  if (!table->ibv) throwErrno(env, errno, "ibv_create_rwq_ind_table");
  const uint32_t number = table->ibv->ind_tbl_num;
  return opened(info, std::move(table), number);
}

// createRssQueuePair(domain, table, key, fields): ibv_create_qp_ex(3) with a Toeplitz hash over the fields (bits of
// ibv_rx_hash_fields). { handle, number }
Napi::Value createRssQueuePair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Environment& environment = environmentOf(info);
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throwArgumentType(env, "key", "a Uint8Array");
  }
  const auto array = info[2].As<Napi::Uint8Array>();
  if (array.ByteLength() > UINT8_MAX) throwArgumentRange(env, "key", "at most 255 bytes");
  std::vector<uint8_t> key(array.Data(), array.Data() + array.ByteLength());
  const uint32_t fields = argument::uint32(info, 3, "fields");
  auto& domain = environment.handle<verbs::ProtectionDomain>(info, 0, "domain");
  auto& table = environment.handle<IndirectionTable>(info, 1, "indirection table");
  if (table.ibv->context != domain.ibv->context) throwArgumentRange(env, "table", "of the domain's own context");
  auto pair = std::make_unique<RssQueuePair>(domain, table);
  ibv_qp_init_attr_ex attributes{};
  attributes.qp_type = IBV_QPT_RAW_PACKET;
  attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_IND_TABLE | IBV_QP_INIT_ATTR_RX_HASH;
  attributes.pd = domain.ibv;
  attributes.rwq_ind_tbl = table.ibv;
  attributes.rx_hash_conf.rx_hash_function = IBV_RX_HASH_FUNC_TOEPLITZ;
  attributes.rx_hash_conf.rx_hash_key_len = static_cast<uint8_t>(key.size());
  attributes.rx_hash_conf.rx_hash_key = key.data();
  attributes.rx_hash_conf.rx_hash_fields_mask = fields;
  pair->ibv = ibv_create_qp_ex(domain.context.ibv, &attributes);
  if (!pair->ibv) throwErrno(env, errno, "ibv_create_qp_ex");
  const uint32_t number = pair->ibv->qp_num;
  return opened(info, std::move(pair), number);
}

}  // namespace

void initializeWorkQueue(Napi::Env env, Napi::Object exports) {
  exports.Set("createWorkQueue", Napi::Function::New(env, createWorkQueue, "createWorkQueue"));
  exports.Set("modifyWorkQueue", Napi::Function::New(env, modifyWorkQueue, "modifyWorkQueue"));
  exports.Set("takeWorkQueue", Napi::Function::New(env, takeWorkQueue, "takeWorkQueue"));
  exports.Set("createIndirectionTable", Napi::Function::New(env, createIndirectionTable, "createIndirectionTable"));
  exports.Set("createRssQueuePair", Napi::Function::New(env, createRssQueuePair, "createRssQueuePair"));
}

}  // namespace mlx5

#include <endian.h>

#include <cerrno>

#include "environment.h"
#include "mlx5/libmlx5.h"
#include "mlx5/mlx5.h"
#include "verbs/context.h"

namespace mlx5 {
namespace {

// Where an Ethernet segment says how many bytes of the frame it holds (struct mlx5_wqe_eth_seg), in the first request
// of a queue.
constexpr size_t kInlineSize = sizeof(mlx5_wqe_ctrl_seg) + offsetof(mlx5_wqe_eth_seg, inline_hdr_sz);
constexpr size_t kFrame = 64;

// A raw packet queue pair that never leaves RESET.
class Scratch {
 public:
  explicit Scratch(ibv_context* context) : context_(context) {}
  ~Scratch() {
    if (pair_) ibv_destroy_qp(pair_);
    if (queue_) ibv_destroy_cq(queue_);
    if (domain_) ibv_dealloc_pd(domain_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // 0 or an errno.
  int open(const char** syscall) {
    *syscall = "ibv_alloc_pd";
    if (!(domain_ = ibv_alloc_pd(context_))) return errno;
    *syscall = "ibv_create_cq";
    if (!(queue_ = ibv_create_cq(context_, 1, nullptr, nullptr, 0))) return errno;
    ibv_qp_init_attr_ex attributes{};
    attributes.qp_type = IBV_QPT_RAW_PACKET;
    attributes.send_cq = attributes.recv_cq = queue_;
    attributes.cap = {1, 1, 1, 1, 0};
    attributes.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
    attributes.pd = domain_;
    attributes.send_ops_flags = IBV_QP_EX_WITH_SEND;
    *syscall = "ibv_create_qp";
    return (pair_ = ibv_create_qp_ex(context_, &attributes)) ? 0 : errno;
  }

  // Bytes of a frame that libmlx5 writes into a request: 0 or more, or a negative errno.
  int inlined() {
    mlx5dv_qp rings{};
    mlx5dv_obj object{};
    object.qp.in = pair_;
    object.qp.out = &rings;
    if (const int error = mlx5dv_init_obj(&object, MLX5DV_OBJ_QP)) return -error;
    ibv_qp_ex* pair = ibv_qp_to_qp_ex(pair_);
    if (!pair) return -ENOTSUP;
    uint8_t frame[kFrame]{};
    ibv_wr_start(pair);
    pair->wr_id = 0;
    pair->wr_flags = 0;
    ibv_wr_send(pair);
    ibv_wr_set_sge(pair, 0, reinterpret_cast<uintptr_t>(frame), sizeof frame);
    uint16_t size;
    memcpy(&size, static_cast<const uint8_t*>(rings.sq.buf) + kInlineSize, sizeof size);
    ibv_wr_abort(pair);
    return be16toh(size);
  }

 private:
  ibv_context* context_;
  ibv_pd* domain_ = nullptr;
  ibv_cq* queue_ = nullptr;
  ibv_qp* pair_ = nullptr;
};

// inlineHeaderBytes(context): eth_min_inline, which the kernel tells libmlx5 alone (mlx5_ib_alloc_ucontext_resp)
Napi::Value inlineHeaderBytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Scratch scratch(Environment::of(env).handle<verbs::Context>(info, 0, "context").ibv);
  const char* syscall = nullptr;
  if (const int error = scratch.open(&syscall)) throwErrno(env, error, syscall);
  const int inlined = scratch.inlined();
  if (inlined < 0) throwErrno(env, -inlined, "mlx5dv_init_obj");
  return Napi::Number::New(env, inlined);
}

}  // namespace

void initializeInlineHeader(Napi::Env env, Napi::Object exports) {
  exports.Set("inlineHeaderBytes", Napi::Function::New(env, inlineHeaderBytes, "inlineHeaderBytes"));
}

}  // namespace mlx5

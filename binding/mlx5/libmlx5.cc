#include "mlx5/libmlx5.h"

#include <cerrno>

#include "run_time_library.h"

namespace mlx5 {
namespace {

const RunTimeLibrary& library() {
  // The very file that libibverbs loads as its provider (libmlx5-rdmav34.so is a link to it): one instance.
  static const RunTimeLibrary instance("libmlx5.so.1");
  return instance;
}

}  // namespace

const std::string& unavailable() { return library().error(); }

ibv_qp* createQueuePair(ibv_context* context, ibv_pd* domain, ibv_qp_init_attr* attributes,
                        const QueuePairRequest& request) {
  ibv_qp_init_attr_ex all{};
  all.qp_context = attributes->qp_context;
  all.send_cq = attributes->send_cq;
  all.recv_cq = attributes->recv_cq;
  all.cap = attributes->cap;
  all.qp_type = attributes->qp_type;
  all.comp_mask = IBV_QP_INIT_ATTR_PD;
  all.pd = domain;
  if (request.flags != 0) {
    all.comp_mask |= IBV_QP_INIT_ATTR_CREATE_FLAGS;
    all.create_flags = request.flags;
  }
  if (request.maxTsoHeader != 0) {
    all.comp_mask |= IBV_QP_INIT_ATTR_MAX_TSO_HEADER;
    all.max_tso_header = static_cast<uint16_t>(request.maxTsoHeader);
  }
  mlx5dv_qp_init_attr more{};
  if (request.cardFlags != 0) {
    more.comp_mask = MLX5DV_QP_INIT_ATTR_MASK_QP_CREATE_FLAGS;
    more.create_flags = request.cardFlags;
  }
  ibv_qp* pair = mlx5dv_create_qp(context, &all, &more);
  attributes->cap = all.cap;
  return pair;
}

bool isSupported(ibv_context* context) { return unavailable().empty() && mlx5dv_is_supported(context->device); }

}  // namespace mlx5

extern "C" {

FORWARD(mlx5::library(), bool, mlx5dv_is_supported, (ibv_device* device), (device), false)
FORWARD(mlx5::library(), int, mlx5dv_query_device, (ibv_context* context, mlx5dv_context* attributes), (context, attributes), ENOSYS)
FORWARD(mlx5::library(), int, mlx5dv_init_obj, (mlx5dv_obj* object, uint64_t type), (object, type), ENOSYS)
FORWARD(mlx5::library(), ibv_qp*, mlx5dv_create_qp,
        (ibv_context* context, ibv_qp_init_attr_ex* attributes, mlx5dv_qp_init_attr* more), (context, attributes, more), null<ibv_qp>())
FORWARD(mlx5::library(), ibv_cq_ex*, mlx5dv_create_cq,
        (ibv_context* context, ibv_cq_init_attr_ex* attributes, mlx5dv_cq_init_attr* more), (context, attributes, more), null<ibv_cq_ex>())
FORWARD(mlx5::library(), ibv_wq*, mlx5dv_create_wq,
        (ibv_context* context, ibv_wq_init_attr* attributes, mlx5dv_wq_init_attr* more), (context, attributes, more), null<ibv_wq>())
FORWARD(mlx5::library(), int, mlx5dv_get_clock_info, (ibv_context* context, mlx5dv_clock_info* info), (context, info), ENOSYS)

}  // extern "C"

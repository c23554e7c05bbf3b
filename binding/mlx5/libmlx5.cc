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

bool isSupported(ibv_context* context) { return unavailable().empty() && mlx5dv_is_supported(context->device); }

}  // namespace mlx5

extern "C" {

FORWARD(mlx5::library(), bool, mlx5dv_is_supported, (ibv_device* device), (device), false)
FORWARD(mlx5::library(), int, mlx5dv_query_device, (ibv_context* context, mlx5dv_context* attributes), (context, attributes), ENOSYS)
FORWARD(mlx5::library(), int, mlx5dv_init_obj, (mlx5dv_obj* object, uint64_t type), (object, type), ENOSYS)
FORWARD(mlx5::library(), ibv_cq_ex*, mlx5dv_create_cq,
        (ibv_context* context, ibv_cq_init_attr_ex* attributes, mlx5dv_cq_init_attr* more), (context, attributes, more), null<ibv_cq_ex>())
FORWARD(mlx5::library(), int, mlx5dv_get_clock_info, (ibv_context* context, mlx5dv_clock_info* info), (context, info), ENOSYS)

}  // extern "C"

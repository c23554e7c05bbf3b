// libmlx5, the ConnectX's provider, opened at run time as libibverbs is: the package loads where there is none.
#pragma once

#include <infiniband/mlx5dv.h>

#include <string>

namespace mlx5 {

// Why libmlx5 cannot be opened; empty when it is.
const std::string& unavailable();

// What mlx5dv_create_qp(3) is asked for beside what ibv_create_qp(3) is; 0 is the usual.
struct QueuePairRequest {
  uint32_t cardFlags = 0;     // mlx5dv_qp_create_flags
  uint32_t flags = 0;         // ibv_qp_create_flags
  uint32_t maxTsoHeader = 0;  // bytes of headers in front of what a request has cut into segments
  bool unusual() const { return cardFlags != 0 || flags != 0 || maxTsoHeader != 0; }
};

// mlx5dv_create_qp(3), otherwise as ibv_create_qp(3): null, and errno.
ibv_qp* createQueuePair(ibv_context* context, ibv_pd* domain, ibv_qp_init_attr* attributes,
                        const QueuePairRequest& request);

// Whether the device is a ConnectX of libmlx5's, and libmlx5 is there (mlx5dv_is_supported).
bool isSupported(ibv_context* context);

}  // namespace mlx5

// libmlx5, the ConnectX's provider, opened at run time as libibverbs is: the package loads where there is none.
#pragma once

#include <infiniband/mlx5dv.h>

#include <string>

namespace mlx5 {

// Why libmlx5 cannot be opened; empty when it is.
const std::string& unavailable();

// Whether the device is a ConnectX of libmlx5's, and libmlx5 is there (mlx5dv_is_supported).
bool isSupported(ibv_context* context);

}  // namespace mlx5

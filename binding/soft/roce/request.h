// A send WQE of a connected queue pair, understood: control segment, remote address segment, atomic segment, data
// segments (rdma-core providers/mlx5/qp.c, _mlx5_post_send).
#pragma once

#include <cstdint>

#include "nic/wqe.h"

namespace soft {
namespace roce {

enum class RequestKind : uint8_t { send, write, read, atomic, local, unknown };

struct Request {
  explicit Request(const SendWqe& wqe) : opcode(wqe.opcode()) {
    uint32_t at = SendWqe::kSegment;
    switch (opcode) {
      case MLX5_OPCODE_SEND_INVAL:
        invalidates = true;
        kind = RequestKind::send;
        break;
      case MLX5_OPCODE_SEND_IMM:
        hasImmediate = true;
        kind = RequestKind::send;
        break;
      case MLX5_OPCODE_SEND: kind = RequestKind::send; break;
      case MLX5_OPCODE_RDMA_WRITE_IMM:
        hasImmediate = true;
        kind = RequestKind::write;
        break;
      case MLX5_OPCODE_RDMA_WRITE: kind = RequestKind::write; break;
      case MLX5_OPCODE_RDMA_READ: kind = RequestKind::read; break;
      case MLX5_OPCODE_ATOMIC_CS:
      case MLX5_OPCODE_ATOMIC_FA: kind = RequestKind::atomic; break;
      case MLX5_OPCODE_UMR:
      case MLX5_OPCODE_NOP: kind = RequestKind::local; break;
      default: kind = RequestKind::unknown; return;
    }
    const bool remote = kind == RequestKind::write || kind == RequestKind::read || kind == RequestKind::atomic;
    const uint32_t need = at + (remote ? 16u : 0u) + (kind == RequestKind::atomic ? 16u : 0u);
    if (wqe.size() < need) {
      kind = RequestKind::unknown;
      return;
    }
    if (remote) {  // mlx5_wqe_raddr_seg
      remoteAddress = load64(wqe.bytes + at);
      rkey = load32(wqe.bytes + at + 8);
      at += 16;
    }
    if (kind == RequestKind::atomic) {  // mlx5_wqe_atomic_seg
      swapOrAdd = load64(wqe.bytes + at);
      compare = load64(wqe.bytes + at + 8);
      at += 16;
    }
    data = at;
  }

  bool waitsForData() const { return kind == RequestKind::read || kind == RequestKind::atomic; }

  uint8_t opcode;
  RequestKind kind = RequestKind::unknown;
  bool hasImmediate = false;
  bool invalidates = false;
  uint64_t remoteAddress = 0;
  uint32_t rkey = 0;
  uint64_t swapOrAdd = 0;
  uint64_t compare = 0;
  uint32_t data = 0;  // where the data segments begin, from the WQE's start
};

}  // namespace roce
}  // namespace soft

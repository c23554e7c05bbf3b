// A striding (multi-packet) receive queue: one WQE takes many frames, each in strides of its own. A frame never crosses
// into the next WQE: where too few strides are left for it, an entry of its own gives them up (a filler, kernel:
// mpwrq_is_filler_cqe), so that the strides that the entries of a WQE name are always all of it
// (drivers/net/ethernet/mellanox/mlx5/core/en_rx.c, mlx5e_handle_rx_cqe_mpwrq; DPDK: mlx5_rx.c, mlx5_rx_burst_mprq).
#pragma once

#include <cstdint>

#include "nic/attributes.h"
#include "nic/receive_queue.h"

namespace soft {

class StrideAllocator {
 public:
  explicit StrideAllocator(const Striding& striding)
      : striding_(striding), count_(striding.logStrideBytes == 0 ? 0 : 1u << striding.logStrides) {}

  // Whether the queue is a striding one at all.
  bool used() const { return count_ != 0; }

  void open(const ReceiveWqe& wqe) {
    wqe_ = wqe;
    left_ = count_;
  }
  // Nothing more goes into the open WQE.
  void close() { left_ = 0; }
  bool isOpen() const { return left_ != 0; }
  bool hasRoom(uint64_t length) const { return needed(length) <= left_; }
  uint16_t needed(uint64_t length) const {
    const uint64_t last = (uint64_t{1} << striding_.logStrideBytes) - 1;
    return static_cast<uint16_t>((length + shift() + last) >> striding_.logStrideBytes);
  }
  void take(uint16_t strides) { left_ -= strides; }

  const ReceiveWqe& wqe() const { return wqe_; }
  uint16_t left() const { return static_cast<uint16_t>(left_); }
  // The stride that the next frame begins with, and where in the WQE's memory it lies.
  uint16_t next() const { return static_cast<uint16_t>(count_ - left_); }
  uint64_t offset() const { return uint64_t{next()} << striding_.logStrideBytes; }
  // The zeroes before the frame.
  uint32_t shift() const { return striding_.shift ? 2 : 0; }

 private:
  const Striding striding_;
  const uint32_t count_;
  ReceiveWqe wqe_;
  uint32_t left_ = 0;
};

}  // namespace soft

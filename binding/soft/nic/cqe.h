// Completion queue elements: mlx5_cqe64 of infiniband/mlx5dv.h, and the fields that it leaves out of the kernel's
// include/linux/mlx5/device.h (rss_hash_result, rss_hash_type). check_sum stays 0: libmlx5 does not read it.
#pragma once

#include <infiniband/mlx5dv.h>

#include <cstddef>
#include <cstdint>

#include "nic/bytes.h"

namespace soft {

// Vendor syndromes are not documented; these are what ConnectX cards are seen to report in public bug reports.
enum class VendorSyndrome : uint8_t {
  none = 0x00,
  localProtection = 0x51,    // with LOCAL_PROT_ERR: an lkey that is unknown, of another PD, or too short
  localLength = 0x52,
  badWqe = 0x68,             // with LOCAL_QP_OP_ERR: opcode or segments make no sense
  retryExceeded = 0x81,
  rnrRetryExceeded = 0x87,
  remoteAccess = 0x88,
  remoteInvalidRequest = 0x8a,
  remoteOperation = 0x8b,
  flushed = 0xf9,
};

// l4_hdr_type_etc, bits 6..4 (kernel: CQE_L4_HDR_TYPE_*).
enum class CqeL4 : uint8_t { none = 0, tcpNoAck = 1, udp = 2, tcpAckNoData = 3, tcpAckData = 4 };

class Cqe {
 public:
  Cqe(uint8_t opcode, bool solicited, uint64_t timestamp, uint32_t userIndex, uint32_t number, uint16_t wqeCounter)
      : opOwn_(static_cast<uint8_t>(opcode << 4 | (solicited ? 2 : 0))) {
    store32(bytes + offsetof(mlx5_cqe64, srqn_uidx), userIndex & 0xffffff);
    store64(bytes + offsetof(mlx5_cqe64, timestamp), timestamp);
    store32(bytes + offsetof(mlx5_cqe64, sop_drop_qpn), number);
    store16(bytes + offsetof(mlx5_cqe64, wqe_counter), wqeCounter);
  }

  // A send that is done: sop_drop_qpn carries the WQE's opcode and the QP's number.
  static Cqe request(uint8_t wqeOpcode, uint64_t timestamp, uint32_t userIndex, uint32_t qpn, uint16_t wqeCounter) {
    return Cqe(MLX5_CQE_REQ, false, timestamp, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
  }

  // mlx5_err_cqe: MLX5_CQE_REQ_ERR or MLX5_CQE_RESP_ERR.
  static Cqe error(uint8_t opcode, uint8_t syndrome, VendorSyndrome vendor, uint8_t wqeOpcode, uint64_t timestamp,
                   uint32_t userIndex, uint32_t qpn, uint16_t wqeCounter) {
    Cqe cqe(opcode, false, timestamp, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
    std::memset(cqe.bytes + offsetof(mlx5_err_cqe, rsvd1), 0, sizeof(mlx5_err_cqe::rsvd1));
    cqe.bytes[offsetof(mlx5_err_cqe, vendor_err_synd)] = static_cast<uint8_t>(vendor);
    cqe.bytes[offsetof(mlx5_err_cqe, syndrome)] = syndrome;
    return cqe;
  }

  void setByteCount(uint32_t count) { store32(bytes + offsetof(mlx5_cqe64, byte_cnt), count); }
  // As it lay in the packet: libmlx5 hands it on unswapped.
  void setImmediate(const uint8_t* bigEndian) {
    std::memcpy(bytes + offsetof(mlx5_cqe64, imm_inval_pkey), bigEndian, 4);
  }
  void setSource(uint8_t grh, uint8_t serviceLevel, uint32_t qpn) {
    store32(bytes + offsetof(mlx5_cqe64, flags_rqpn), uint32_t{grh} << 28 | uint32_t{serviceLevel} << 24 | qpn);
  }
  // MLX5_CQE_L2_OK … in hds_ip_ext; MLX5_CQE_L3_HDR_TYPE_* and the l4 type beside it.
  void setChecks(uint8_t ok, uint8_t l3Type, CqeL4 l4Type) {
    bytes[offsetof(mlx5_cqe64, hds_ip_ext)] = ok;
    bytes[offsetof(mlx5_cqe64, l4_hdr_type_etc)] |= static_cast<uint8_t>(static_cast<uint8_t>(l4Type) << 4 | l3Type << 2);
  }
  // A tag was taken out of the frame: bit `cv`, and the TCI (kernel: cqe_has_vlan).
  void setStrippedVlan(uint16_t tag) {
    bytes[offsetof(mlx5_cqe64, l4_hdr_type_etc)] |= 1;
    store16(bytes + offsetof(mlx5_cqe64, vlan_info), tag);
  }
  void setHash(uint32_t result, uint8_t type) {
    store32(bytes + 12, result);  // rss_hash_result
    bytes[16] = type;             // rss_hash_type
  }

  bool solicited() const { return (opOwn_ & 2) != 0; }

  // Writes it where the driver looks, the ownership byte last: that store hands the entry over.
  void hand(uint8_t* entry, uint8_t owner) {
    bytes[offsetof(mlx5_cqe64, op_own)] = opOwn_ | owner;
    std::memcpy(entry, bytes, 56);
    uint64_t last;
    std::memcpy(&last, bytes + 56, sizeof last);
    __atomic_store_n(reinterpret_cast<uint64_t*>(entry + 56), last, __ATOMIC_RELEASE);
  }

  alignas(8) uint8_t bytes[64] = {};

 private:
  uint8_t opOwn_;
};

static_assert(sizeof(mlx5_cqe64) == 64 && offsetof(mlx5_cqe64, op_own) == 63, "the layout of mlx5dv.h");

}  // namespace soft

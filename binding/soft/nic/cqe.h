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
  localProtection = 0x51,  // with LOCAL_PROT_ERR: an lkey that is unknown, of another PD, or too short
  localLength = 0x52,
  badWqe = 0x68,  // with LOCAL_QP_OP_ERR: opcode or segments make no sense
  retryExceeded = 0x81,
  rnrRetryExceeded = 0x87,
  remoteAccess = 0x88,
  remoteInvalidRequest = 0x8a,
  remoteOperation = 0x8b,
  flushed = 0xf9,
};

// l4_hdr_type_etc, bits 6..4 (kernel: CQE_L4_HDR_TYPE_*).
enum class CqeL4 : uint8_t { none = 0, tcpNoAck = 1, udp = 2, tcpAckNoData = 3, tcpAckData = 4 };

// flags_rqpn, bits 25..24 (kernel: MLX5_CQE_ROCE_L3_HEADER_TYPE_*).
enum class CqeL3 : uint8_t { ipv6 = 1, ipv4 = 2 };

// The fields. The entry itself is never half done where the driver looks: it is laid out elsewhere, and written whole.
class Cqe {
 public:
  Cqe(uint8_t opcode, bool solicited, uint64_t timestamp, uint32_t userIndex, uint32_t number, uint16_t wqeCounter)
      : userIndex_(userIndex & 0xffffff),
        timestamp_(timestamp),
        number_(number),
        wqeCounter_(wqeCounter),
        opOwn_(static_cast<uint8_t>(opcode << 4 | (solicited ? 2 : 0))) {}

  // A send that is done: sop_drop_qpn carries the WQE's opcode and the QP's number.
  static Cqe request(uint8_t wqeOpcode, uint64_t timestamp, uint32_t userIndex, uint32_t qpn, uint16_t wqeCounter) {
    return Cqe(MLX5_CQE_REQ, false, timestamp, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
  }

  // mlx5_err_cqe, of opcode MLX5_CQE_REQ_ERR or MLX5_CQE_RESP_ERR: where the timestamp ends, the vendor's syndrome and
  // the syndrome (MLX5_CQE_SYNDROME_*). It has no timestamp.
  static Cqe error(uint8_t opcode, uint8_t syndrome, VendorSyndrome vendor, uint8_t wqeOpcode, uint32_t userIndex,
                   uint32_t qpn, uint16_t wqeCounter) {
    const uint64_t syndromes = uint64_t{static_cast<uint8_t>(vendor)} << 8 | syndrome;
    return Cqe(opcode, false, syndromes, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
  }

  void setByteCount(uint32_t count) { byteCount_ = count; }
  // As it lay in the packet: libmlx5 hands it on unswapped.
  void setImmediate(const uint8_t* bigEndian) { immediate_ = load32(bigEndian); }
  // flags_rqpn: for RoCE the kernel reads the kind of packet where InfiniBand has the service level, of which UCX wants
  // to know (drivers/infiniband/hw/mlx5/cq.c, handle_responder: MLX5_CQE_ROCE_L3_HEADER_TYPE_*).
  void setSource(CqeL3 l3, uint32_t qpn) { source_ = 1u << 28 | uint32_t{static_cast<uint8_t>(l3)} << 24 | qpn; }
  void setSource(uint32_t qpn) { source_ = qpn; }
  // MLX5_CQE_L2_OK … in hds_ip_ext; MLX5_CQE_L3_HDR_TYPE_* and the l4 type beside it.
  void setChecks(uint8_t ok, uint8_t l3Type, CqeL4 l4Type) {
    checks_ = ok;
    types_ |= static_cast<uint8_t>(static_cast<uint8_t>(l4Type) << 4 | l3Type << 2);
  }
  // A tag was taken out of the frame: bit `cv`, and the TCI (kernel: cqe_has_vlan).
  void setStrippedVlan(uint16_t tag) {
    types_ |= 1;
    vlanTag_ = tag;
  }
  void setHash(uint32_t result, uint8_t type) {
    hash_ = result;
    hashType_ = type;
  }

  // Whether a request for solicited completions alone is notified of this one: its sender asked for that, or it is
  // unsuccessful (ibv_req_notify_cq(3)).
  bool solicited() const {
    const int opcode = opOwn_ >> 4;
    return (opOwn_ & 2) != 0 || opcode == MLX5_CQE_REQ_ERR || opcode == MLX5_CQE_RESP_ERR;
  }

  // Its 64 bytes, as eight words of memory; `owner` is the bit of this lap in op_own, the last byte.
  void layOut(uint64_t (&words)[8], uint8_t owner) const {
    words[0] = 0;
    words[1] = big(hash_);                      // rss_hash_result at 12
    words[2] = big(uint64_t{hashType_} << 56);  // rss_hash_type at 16
    words[3] = big(uint64_t{source_} << 32 | uint64_t{checks_} << 24 | uint64_t{types_} << 16 | vlanTag_);
    words[4] = big(uint64_t{userIndex_} << 32 | immediate_);
    words[5] = big(byteCount_);  // byte_cnt at 44
    words[6] = big(timestamp_);
    words[7] = big(uint64_t{number_} << 32 | uint64_t{wqeCounter_} << 16 | opOwn_ | owner);
  }

 private:
  static uint64_t big(uint64_t value) { return __builtin_bswap64(value); }

  uint32_t userIndex_;  // srqn_uidx
  uint64_t timestamp_;
  uint32_t number_;         // sop_drop_qpn
  uint32_t immediate_ = 0;  // imm_inval_pkey
  uint32_t byteCount_ = 0;  // byte_cnt
  uint32_t source_ = 0;     // flags_rqpn
  uint32_t hash_ = 0;
  uint16_t wqeCounter_;   // wqe_counter
  uint16_t vlanTag_ = 0;  // vlan_info
  uint8_t opOwn_;
  uint8_t hashType_ = 0;
  uint8_t checks_ = 0;  // hds_ip_ext
  uint8_t types_ = 0;   // l4_hdr_type_etc
};

static_assert(sizeof(mlx5_cqe64) == 64 && offsetof(mlx5_cqe64, flags_rqpn) == 24 &&
                  offsetof(mlx5_cqe64, srqn_uidx) == 32 && offsetof(mlx5_cqe64, byte_cnt) == 44 &&
                  offsetof(mlx5_cqe64, timestamp) == 48 && offsetof(mlx5_cqe64, sop_drop_qpn) == 56 &&
                  offsetof(mlx5_cqe64, op_own) == 63 && offsetof(mlx5_err_cqe, vendor_err_synd) == 54 &&
                  offsetof(mlx5_err_cqe, syndrome) == 55,
              "the layout of mlx5dv.h");

}  // namespace soft

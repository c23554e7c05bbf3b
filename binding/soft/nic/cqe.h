// Completion queue elements: mlx5_cqe64 of infiniband/mlx5dv.h, and the fields that it leaves out of the kernel's
// include/linux/mlx5/device.h (rss_hash_result, rss_hash_type, check_sum).
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

// op_own, bits 3..2: how the entry is to be read (kernel: mlx5_get_cqe_format; 1 and 2 are MLX5_INLINE_SCATTER_32 and
// …_64).
constexpr uint8_t kCqeFormatMask = 3 << 2;
constexpr uint8_t kCqeCompressed = 3 << 2;  // kernel: MLX5_COMPRESSED

// The fields. The entry itself is never half done where the driver looks: it is laid out elsewhere, and written whole.
class Cqe {
 public:
  Cqe(uint8_t opcode, bool solicited, uint32_t userIndex, uint32_t number, uint16_t wqeCounter)
      : userIndex_(userIndex & 0xffffff),
        number_(number),
        wqeCounter_(wqeCounter),
        opOwn_(static_cast<uint8_t>(opcode << 4 | (solicited ? 2 : 0))) {}

  // A send that is done: sop_drop_qpn carries the WQE's opcode and the QP's number.
  static Cqe request(uint8_t wqeOpcode, uint32_t userIndex, uint32_t qpn, uint16_t wqeCounter) {
    return Cqe(MLX5_CQE_REQ, false, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
  }

  // mlx5_err_cqe, of opcode MLX5_CQE_REQ_ERR or MLX5_CQE_RESP_ERR: where the timestamp ends, the vendor's syndrome and
  // the syndrome (MLX5_CQE_SYNDROME_*). It has no timestamp.
  static Cqe error(uint8_t opcode, uint8_t syndrome, VendorSyndrome vendor, uint8_t wqeOpcode, uint32_t userIndex,
                   uint32_t qpn, uint16_t wqeCounter) {
    Cqe cqe(opcode, false, userIndex, uint32_t{wqeOpcode} << 24 | qpn, wqeCounter);
    cqe.timestamp_ = uint64_t{static_cast<uint8_t>(vendor)} << 8 | syndrome;
    return cqe;
  }
  bool isError() const {
    const int opcode = opOwn_ >> 4;
    return opcode == MLX5_CQE_REQ_ERR || opcode == MLX5_CQE_RESP_ERR;
  }

  // Of one that is no error.
  void setTimestamp(uint64_t time) { timestamp_ = time; }
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

  // The ones' complement sum over what follows the Ethernet header and its tags, in memory order (kernel: en_rx.c,
  // mlx5e_handle_csum takes it for CHECKSUM_COMPLETE). Only queues whose compressed entries carry it pay for it.
  void setChecksum(uint16_t sum) { checksum_ = __builtin_bswap16(sum); }
  // Of a striding receive queue: wqe_counter is the first stride of the frame, the WQE stands in wqe_id, and the upper
  // half of byte_cnt says how many strides are used up (kernel: mpwrq_get_cqe_consumed_strides, …_stride_index).
  void setStrides(uint16_t wqe, uint16_t strides) {
    wqeId_ = wqe;
    strides_ = strides;
    byteCount_ |= uint32_t{strides} << 16;
  }
  // Strides that no frame had room in (kernel: mpwrq_is_filler_cqe).
  void setFiller() { byteCount_ |= 1u << 31; }

  // Scatter to CQE: the entry brings the message itself, in place of the fields of its first 32 bytes, or, in an entry
  // of 128 bytes, in the 64 bytes before it (libmlx5 cq.c: MLX5_INLINE_SCATTER_32, …_64). `data` is read when it is
  // laid out.
  void setInline(const uint8_t* data, uint32_t length, uint32_t room) {
    inline_ = data;
    inlineLength_ = length;
    opOwn_ |= room == 64 ? MLX5_INLINE_SCATTER_64 : MLX5_INLINE_SCATTER_32;
  }

  // Whether it can stand as a title: a receive that is done (cqc, mini_cqe_res_format: of requests the kernel and DPDK
  // compress none).
  bool compressible() const {
    const int opcode = opOwn_ >> 4;
    return opcode >= MLX5_CQE_RESP_WR_IMM && opcode <= MLX5_CQE_RESP_SEND_INV && (opOwn_ & kCqeFormatMask) == 0;
  }
  // Whether `next` may follow it under one title: alike in all that the title tells for the others, and next in its
  // receive queue, because a reader counts wqe_counter on by one, or by the strides used up (kernel: en_rx.c,
  // mlx5e_decompress_cqe).
  bool precedes(const Cqe& next) const {
    return userIndex_ == next.userIndex_ && number_ == next.number_ && immediate_ == next.immediate_ &&
           source_ == next.source_ && vlanTag_ == next.vlanTag_ && opOwn_ == next.opOwn_ &&
           hashType_ == next.hashType_ && checks_ == next.checks_ && types_ == next.types_ && wqeId_ == next.wqeId_ &&
           next.wqeCounter_ == static_cast<uint16_t>(wqeCounter_ + strides_);
  }
  // Turns it into the title of `count` compressed entries.
  void makeTitle(uint32_t count) {
    byteCount_ = count;
    opOwn_ |= kCqeCompressed;
  }
  // Its eight bytes in a mini array (kernel: struct mlx5_mini_cqe8; DPDK: mlx5_prm.h), as they lie in memory.
  uint64_t miniWithHash() const { return big(uint64_t{hash_} << 32 | byteCount_); }
  uint64_t miniWithChecksum() const { return big(uint64_t{checksum_} << 48 | byteCount_); }
  uint64_t miniWithChecksumAndStride() const {
    return big(uint64_t{checksum_} << 48 | uint64_t{wqeCounter_} << 32 | byteCount_);
  }

  // Whether a request for solicited completions alone is notified of this one: its sender asked for that, or it is
  // unsuccessful (ibv_req_notify_cq(3)).
  bool solicited() const { return (opOwn_ & 2) != 0 || isError(); }

  // Its 64 bytes, as eight words of memory; `owner` is the bit of this lap in op_own, the last byte.
  void layOut(uint64_t (&words)[8], uint8_t owner) const {
    words[0] = big(uint64_t{wqeId_} << 32);                                 // wqe_id at 2
    words[1] = big(hash_);                                                  // rss_hash_result at 12
    words[2] = big(uint64_t{hashType_} << 56 | uint64_t{checksum_} << 16);  // rss_hash_type at 16, check_sum at 20
    words[3] = big(uint64_t{source_} << 32 | uint64_t{checks_} << 24 | uint64_t{types_} << 16 | vlanTag_);
    words[4] = big(uint64_t{userIndex_} << 32 | immediate_);
    words[5] = big(byteCount_);  // byte_cnt at 44
    words[6] = big(timestamp_);
    words[7] = big(uint64_t{number_} << 32 | uint64_t{wqeCounter_} << 16 | opOwn_ | owner);
    if ((opOwn_ & kCqeFormatMask) == MLX5_INLINE_SCATTER_32) std::memcpy(words, inline_, inlineLength_);
  }
  // Writes what comes in the 64 bytes before it. False when their memory is gone.
  [[nodiscard]] bool layBefore(uint8_t* entry) const {
    if ((opOwn_ & kCqeFormatMask) != MLX5_INLINE_SCATTER_64) return true;
    uint8_t message[64] = {};
    std::memcpy(message, inline_, inlineLength_);
    return guardedCopy64(entry - 64, message);
  }

  // Writes them at `entry`, the word with op_own last: that store hands the entry over. False when its memory is gone.
  [[nodiscard]] bool hand(uint8_t* entry, uint8_t owner) const {
    if (!layBefore(entry)) return false;
    uint64_t words[8];
    layOut(words, owner);
    return guardedHand(entry, words);
  }

 private:
  static uint64_t big(uint64_t value) { return __builtin_bswap64(value); }

  const uint8_t* inline_ = nullptr;  // with one of those two formats
  uint32_t inlineLength_ = 0;
  uint32_t userIndex_;  // srqn_uidx
  uint64_t timestamp_ = 0;
  uint32_t number_;         // sop_drop_qpn
  uint32_t immediate_ = 0;  // imm_inval_pkey
  uint32_t byteCount_ = 0;  // byte_cnt
  uint32_t source_ = 0;     // flags_rqpn
  uint32_t hash_ = 0;
  uint16_t wqeCounter_;    // wqe_counter
  uint16_t wqeId_ = 0;     // wqe_id
  uint16_t strides_ = 1;   // how far it moves wqe_counter on
  uint16_t checksum_ = 0;  // check_sum
  uint16_t vlanTag_ = 0;   // vlan_info
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

// Work queue elements: what the driver asks for. The layouts are infiniband/mlx5dv.h's; this reads them out of a copy,
// never out of the ring, because the ring is memory that its owner may change while it is looked at.
#pragma once

#include <infiniband/mlx5dv.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "nic/bytes.h"

namespace soft {

// The kernel's include/linux/mlx5/qp.h; mlx5dv.h has only the outer checksums.
enum : uint8_t {
  kEthInnerL3Checksum = 1 << 4,  // MLX5_ETH_WQE_L3_INNER_CSUM
  kEthInnerL4Checksum = 1 << 5,  // MLX5_ETH_WQE_L4_INNER_CSUM
  kEthL3Checksum = MLX5_ETH_WQE_L3_CSUM,
  kEthL4Checksum = MLX5_ETH_WQE_L4_CSUM,
};
// One WQE, many frames: mlx5_ifc.h's enhanced_multi_pkt_send_wqe and the older multi_pkt_send_wqe (DPDK:
// mlx5_prm.h, MLX5_OPCODE_ENHANCED_MPSW, MLX5_OPC_MOD_MPW of MLX5_OPCODE_TSO; kernel: MLX5_OPCODE_ENHANCED_MPSW). Not
// in mlx5dv.h.
constexpr uint8_t kOpcodeEnhancedMultiPacket = 0x29;
constexpr uint8_t kModifierMultiPacket = 0x01;
constexpr uint16_t kEthInsertVlan = 1 << 15;  // MLX5_ETH_WQE_INSERT_VLAN, in place of the inline header's size

// One send WQE: mlx5_wqe_ctrl_seg, then segments of 16 bytes each.
struct SendWqe {
  static constexpr uint32_t kMaxSegments = 63;  // `ds` has six bits
  static constexpr uint32_t kSegment = 16;

  // Copies the WQE whose first basic block is `index` out of a ring of `count` blocks (a power of two). False when the
  // ring's memory is gone.
  [[nodiscard]] bool fetch(const void* buffer, uint32_t count, uint16_t index) {
    const auto* ring = static_cast<const uint8_t*>(buffer);
    const uint32_t block = index & (count - 1);
    if (!guardedCopy64(bytes, ring + size_t{block} * MLX5_SEND_WQE_BB)) return false;
    this->index = index;
    segments = bytes[7] & 0x3f;  // qpn_ds: 24 bits of QP number, then the size in 16 bytes
    blocks = std::max(1u, (segments + 3) / 4);
    for (uint32_t i = 1; i < blocks; ++i) {
      if (!guardedCopy64(bytes + size_t{i} * MLX5_SEND_WQE_BB,
                         ring + size_t{(block + i) & (count - 1)} * MLX5_SEND_WQE_BB)) {
        return false;
      }
    }
    return true;
  }

  uint8_t opcode() const { return bytes[3]; }  // opmod_idx_opcode
  uint8_t opcodeModifier() const { return bytes[0]; }
  uint32_t queuePair() const { return load32(bytes + 4) >> 8; }
  uint8_t flags() const { return bytes[11]; }  // fm_ce_se: fence mode, completion and event mode, solicited
  const uint8_t* immediate() const { return bytes + 12; }
  bool signaled() const { return (flags() & MLX5_WQE_CTRL_CQ_UPDATE) != 0; }
  bool solicited() const { return (flags() & MLX5_WQE_CTRL_SOLICITED) != 0; }
  bool fenced() const { return (flags() & 0xe0) >= 0x80; }  // MLX5_WQE_CTRL_FENCE and the strong-ordering modes

  bool enhancedMultiPacket() const { return opcode() == kOpcodeEnhancedMultiPacket; }
  bool multiPacket() const { return opcode() == MLX5_OPCODE_TSO && opcodeModifier() == kModifierMultiPacket; }
  // Whether `at` is of the copy: inline data.
  bool holds(const uint8_t* at) const { return at >= bytes && at < bytes + sizeof bytes; }

  uint32_t size() const { return segments * kSegment; }
  alignas(64) uint8_t bytes[1024];
  uint32_t segments;
  uint32_t blocks;  // that it takes in the ring; one that says 0 takes one, or the queue would never move on
  uint16_t index;
};

// mlx5_wqe_data_seg.
struct DataSegment {
  explicit DataSegment(const uint8_t* from) : length(load32(from)), lkey(load32(from + 4)), address(load64(from + 8)) {}
  // Its two words as they lie in memory.
  DataSegment(uint64_t low, uint64_t high)
      : length(__builtin_bswap32(static_cast<uint32_t>(low))),
        lkey(__builtin_bswap32(static_cast<uint32_t>(low >> 32))),
        address(__builtin_bswap64(high)) {}

  bool isInline() const { return (length & MLX5_INLINE_SEG) != 0; }
  uint32_t inlineLength() const { return length & 0x7fffffff; }  // the data follow the 4-byte header
  // "byte_count 0 means 2 GB" (PRM): so an empty element is left out by libmlx5.
  uint64_t bytes() const { return length == 0 ? uint64_t{1} << 31 : length; }
  bool isEnd() const { return lkey == MLX5_INVALID_LKEY; }

  uint32_t length;
  uint32_t lkey;
  uint64_t address;
};

// mlx5_wqe_eth_seg: what a raw packet WQE has behind its control segment.
struct EthSegment {
  static constexpr uint32_t kStart = 16;        // behind the control segment
  static constexpr uint32_t kInlineStart = 14;  // inline_hdr_start, within the segment

  explicit EthSegment(const SendWqe& wqe) {
    const uint8_t* from = wqe.bytes + kStart;
    checksums = from[4];
    mss = load16(from + 6);
    const uint16_t word = load16(from + 12);
    insertVlan = (word & kEthInsertVlan) != 0;
    vlanTag = load16(from + 14);
    inlineLength = insertVlan ? 0 : word;
    inlineHeader = from + kInlineStart;
    end = endOf(inlineLength);
  }

  // 16 bytes hold two of the inline header; the rest goes on in 16s (libmlx5 copy_eth_inline_headers).
  static uint32_t endOf(uint32_t inlineLength) {
    return inlineLength <= 2 ? kStart + 16 : kStart + 16 + ((inlineLength - 2 + 15) & ~15u);
  }
  // Where the data segments begin, of a WQE that has an Ethernet segment.
  static uint32_t endIn(const SendWqe& wqe) {
    const uint16_t word = load16(wqe.bytes + kStart + 12);
    return endOf((word & kEthInsertVlan) != 0 ? 0 : word);
  }
  // Whether it asks for nothing but checksums: no header inline, no tag.
  static bool isPlainIn(const SendWqe& wqe) { return load16(wqe.bytes + kStart + 12) == 0; }
  static uint8_t checksumsIn(const SendWqe& wqe) { return wqe.bytes[kStart + 4]; }

  uint8_t checksums;
  uint16_t mss;
  bool insertVlan;
  uint16_t vlanTag;
  uint32_t inlineLength;
  const uint8_t* inlineHeader;
  uint32_t end;  // where the data segments begin, from the WQE's start
};

}  // namespace soft

/** Numbers that fields hold, by their names in mlx5dv.h and in Linux without the MLX5_ prefix. */

/** Opcodes of send requests (MLX5_OPCODE_*). ENHANCED_MPSW is DPDK's name (mlx5_prm.h); mlx5dv.h has none. */
export const SendOpcode = {
  NOP: 0x00,
  SEND_INVAL: 0x01,
  RDMA_WRITE: 0x08,
  RDMA_WRITE_IMM: 0x09,
  SEND: 0x0a,
  SEND_IMM: 0x0b,
  TSO: 0x0e,
  WAIT: 0x0f,
  RDMA_READ: 0x10,
  ATOMIC_CS: 0x11,
  ATOMIC_FA: 0x12,
  ATOMIC_MASKED_CS: 0x14,
  ATOMIC_MASKED_FA: 0x15,
  SEND_EN: 0x17,
  FMR: 0x19,
  LOCAL_INVAL: 0x1b,
  CONFIG_CMD: 0x1f,
  SET_PSV: 0x20,
  UMR: 0x25,
  TAG_MATCHING: 0x28,
  ENHANCED_MPSW: 0x29,
  FLOW_TBL_ACCESS: 0x2c,
  ACCESS_ASO: 0x2d,
  MMO: 0x2f,
} as const
/** Name of a send request's opcode. */
export type SendOpcodeName = keyof typeof SendOpcode

/** Opcodes of completions (MLX5_CQE_*). */
export const CqeOpcode = {
  REQ: 0,
  RESP_WR_IMM: 1,
  RESP_SEND: 2,
  RESP_SEND_IMM: 3,
  RESP_SEND_INV: 4,
  RESIZE_CQ: 5,
  NO_PACKET: 6,
  SIG_ERR: 12,
  REQ_ERR: 13,
  RESP_ERR: 14,
  INVALID: 15,
} as const
/** Name of a completion's opcode. */
export type CqeOpcodeName = keyof typeof CqeOpcode

/** What else an entry of a completion queue holds (bits 3:2 of op_own; Linux: MLX5_INLINE_DATA*, MLX5_COMPRESSED). */
export const CqeFormat = {
  NO_INLINE_DATA: 0,
  INLINE_DATA_32: 1,
  INLINE_DATA_64: 2,
  COMPRESSED: 3,
} as const
/** Name of a completion's format. */
export type CqeFormatName = keyof typeof CqeFormat

/** Syndromes of error completions (MLX5_CQE_SYNDROME_*). */
export const CqeSyndrome = {
  LOCAL_LENGTH_ERR: 0x01,
  LOCAL_QP_OP_ERR: 0x02,
  LOCAL_PROT_ERR: 0x04,
  WR_FLUSH_ERR: 0x05,
  MW_BIND_ERR: 0x06,
  BAD_RESP_ERR: 0x10,
  LOCAL_ACCESS_ERR: 0x11,
  REMOTE_INVAL_REQ_ERR: 0x12,
  REMOTE_ACCESS_ERR: 0x13,
  REMOTE_OP_ERR: 0x14,
  TRANSPORT_RETRY_EXC_ERR: 0x15,
  RNR_RETRY_EXC_ERR: 0x16,
  REMOTE_ABORTED_ERR: 0x22,
} as const
/** Name of an error completion's syndrome. */
export type CqeSyndromeName = keyof typeof CqeSyndrome

/** When a send request makes a completion (bits 3:2 of fm_ce_se; DPDK: mlx5_completion_mode). */
export const CompletionMode = { ONLY_ERR: 0, ONLY_FIRST_ERR: 1, ALWAYS: 2, CQE_AND_EQE: 3 } as const

/** What a send request waits for (bits 7:5 of fm_ce_se; Linux: MLX5_FENCE_MODE_*). */
export const FenceMode = {
  NONE: 0,
  INITIATOR_SMALL: 1,
  FENCE: 2,
  STRONG_ORDERING: 3,
  SMALL_AND_FENCE: 4,
} as const

/** Checksums that a frame is sent with (MLX5_ETH_WQE_*). */
export const EthernetFlag = {
  L3_INNER_CSUM: 1 << 4,
  L4_INNER_CSUM: 1 << 5,
  L3_CSUM: 1 << 6,
  L4_CSUM: 1 << 7,
} as const

/** What was right about a received frame (MLX5_CQE_L*_OK). */
export const CqeCheck = { L2_OK: 1, L3_OK: 2, L4_OK: 4 } as const

/** The network header of a received frame (MLX5_CQE_L3_HDR_TYPE_*). */
export const CqeL3HeaderType = { NONE: 0, IPV6: 1, IPV4: 2 } as const

/** The transport header of a received frame (Linux: CQE_L4_HDR_TYPE_*). */
export const CqeL4HeaderType = {
  NONE: 0,
  TCP_NO_ACK: 1,
  UDP: 2,
  TCP_ACK_NO_DATA: 3,
  TCP_ACK_AND_DATA: 4,
} as const

/** Commands of a completion queue's doorbell (MLX5_CQ_DB_REQ_*): which completion raises the next event. */
export const ArmCommand = { REQ_NOT: 0, REQ_NOT_SOL: 1 } as const

/** The key of an element that ends a receive request's list (MLX5_INVALID_LKEY). */
export const invalidLkey = 0x100
/** In a data segment's byte count: the data follow (MLX5_INLINE_SEG). */
export const inlineSegment = 0x8000_0000
/** Bytes of a send queue's unit (MLX5_SEND_WQE_BB). */
export const basicBlock = 64
/** Bytes of a segment: the unit in which a send request says its size (MLX5_SEND_WQE_DS). */
export const segmentUnit = 16
/** Where in a completion queue's register its doorbell lies (MLX5_CQ_DOORBELL). */
export const cqDoorbell = 0x20

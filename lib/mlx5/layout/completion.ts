/** Entries of a completion queue. Which fields of one count is said by its opcode and its format. */
import {
  bits,
  bytes,
  decimal,
  dpdkPrm,
  type FieldLayout,
  flags,
  hex,
  kernelDevice,
  mlx5dv,
  named,
  type StructLayout,
  word,
} from './field.js'
import {
  CqeCheck,
  CqeFormat,
  CqeL3HeaderType,
  CqeL4HeaderType,
  CqeOpcode,
  CqeSyndrome,
  SendOpcode,
} from './names.js'

/** Bytes of an entry that a request or a receive completes with; in an entry of 128 bytes it is the second half. */
export const cqeLength = 64

/** In every entry: whose it is and what it tells. */
const owner = {
  opcode: bits(63, 1, [7, 4], 'op_own', named(CqeOpcode)),
  format: bits(63, 1, [3, 2], 'op_own', named(CqeFormat)),
  solicited: bits(63, 1, [1, 1], 'op_own', decimal),
  /** The entry is new when this bit is that of the ring's lap. */
  owner: bits(63, 1, [0, 0], 'op_own', decimal),
} as const satisfies Record<string, FieldLayout>

const done = {
  userIndex: bits(32, 4, [23, 0], 'srqn_uidx', hex),
  byteCount: word(44, 4, 'byte_cnt', decimal),
  timestamp: word(48, 8, 'timestamp', decimal),
} as const satisfies Record<string, FieldLayout>

/** A send request is done, and with it all before it. */
export const requesterCqe = {
  title: 'completion of a send request',
  struct: 'mlx5_cqe64',
  source: mlx5dv,
  length: cqeLength,
  fields: {
    ...done,
    requestOpcode: bits(56, 4, [31, 24], 'sop_drop_qpn', named(SendOpcode)),
    queuePairNumber: bits(56, 4, [23, 0], 'sop_drop_qpn', hex),
    wqeCounter: word(60, 2, 'wqe_counter', decimal),
    signature: word(62, 1, 'signature', hex),
    ...owner,
  },
} as const satisfies StructLayout

/** A message has come. */
export const responderCqe = {
  title: 'completion of a receive',
  struct: 'mlx5_cqe64',
  source: mlx5dv,
  length: cqeLength,
  fields: {
    pathBits: bits(17, 1, [6, 0], 'ml_path', decimal),
    sourceLid: word(22, 2, 'slid', decimal),
    hasRoute: bits(24, 4, [29, 28], 'flags_rqpn', decimal),
    /** Of RoCE the kind of IP header; of InfiniBand the service level lies here. */
    networkHeader: bits(24, 4, [25, 24], 'flags_rqpn', named(CqeL3HeaderType)),
    sourceQueuePair: bits(24, 4, [23, 0], 'flags_rqpn', hex),
    ...done,
    /** Immediate data, the key that was invalidated, or the partition key's index. */
    immediate: word(36, 4, 'imm_inval_pkey', hex),
    queuePairNumber: bits(56, 4, [23, 0], 'sop_drop_qpn', hex),
    wqeCounter: word(60, 2, 'wqe_counter', decimal),
    signature: word(62, 1, 'signature', hex),
    ...owner,
  },
} as const satisfies StructLayout

/** A frame has come. */
export const frameCqe = {
  title: 'completion of a received frame',
  struct: 'mlx5_cqe64',
  source: kernelDevice,
  length: cqeLength,
  fields: {
    wqeId: word(2, 2, 'wqe_id', decimal),
    rssHash: word(12, 4, 'rss_hash_result', hex),
    rssHashType: word(16, 1, 'rss_hash_type', hex),
    checksum: word(20, 2, 'check_sum', hex),
    checks: bits(28, 1, [2, 0], 'hds_ip_ext', flags(CqeCheck)),
    l4HeaderType: bits(29, 1, [6, 4], 'l4_l3_hdr_type', named(CqeL4HeaderType)),
    l3HeaderType: bits(29, 1, [3, 2], 'l4_l3_hdr_type', named(CqeL3HeaderType)),
    vlanStripped: bits(29, 1, [0, 0], 'l4_l3_hdr_type', decimal),
    vlanTag: word(30, 2, 'vlan_info', hex),
    userIndex: bits(32, 4, [23, 0], 'srqn', hex),
    metadata: word(36, 4, 'ft_metadata', hex),
    byteCount: word(44, 4, 'byte_cnt', decimal),
    timestamp: word(48, 8, 'timestamp', decimal),
    flowTag: bits(56, 4, [23, 0], 'sop_drop_qpn', hex),
    wqeCounter: word(60, 2, 'wqe_counter', decimal),
    signature: word(62, 1, 'signature', hex),
    ...owner,
  },
} as const satisfies StructLayout

/** Of a striding receive queue: in place of the frame's byte count (Linux: mpwrq_cqe_bc). */
export const stridingByteCount = {
  title: 'byte count of a striding receive',
  struct: 'mpwrq_cqe_bc',
  source: kernelDevice,
  length: 4,
  fields: {
    /** No frame: the rest of the buffer is passed over. */
    filler: bits(0, 2, [15, 15], 'filler_consumed_strides', decimal),
    consumedStrides: bits(0, 2, [14, 0], 'filler_consumed_strides', decimal),
    byteCount: word(2, 2, 'byte_cnt', decimal),
  },
} as const satisfies StructLayout

/** A request has failed. */
export const errorCqe = {
  title: 'error completion',
  struct: 'mlx5_err_cqe',
  source: mlx5dv,
  length: cqeLength,
  fields: {
    userIndex: bits(32, 4, [23, 0], 'srqn', hex),
    vendorSyndrome: word(54, 1, 'vendor_err_synd', hex),
    syndrome: word(55, 1, 'syndrome', named(CqeSyndrome)),
    requestOpcode: bits(56, 4, [31, 24], 's_wqe_opcode_qpn', named(SendOpcode)),
    queuePairNumber: bits(56, 4, [23, 0], 's_wqe_opcode_qpn', hex),
    wqeCounter: word(60, 2, 'wqe_counter', decimal),
    signature: word(62, 1, 'signature', hex),
    ...owner,
  },
} as const satisfies StructLayout

/** Any other entry. */
export const otherCqe = {
  title: 'completion',
  struct: 'mlx5_cqe64',
  source: mlx5dv,
  length: cqeLength,
  fields: { bytes: word(0, 63, 'bytes', bytes), ...owner },
} as const satisfies StructLayout

/** The first 64 bytes of an entry of 128: the message's data, where the format says so, or a datagram's route. */
export const cqeInlineData = {
  title: 'inline data',
  struct: 'mlx5_cqe128.inl_grh',
  source: kernelDevice,
  length: 64,
  fields: { bytes: word(0, 64, 'inl', bytes) },
} as const satisfies StructLayout

/** The first half of an entry of 64 bytes whose format is INLINE_DATA_32. */
export const inlineData32 = {
  title: 'inline data',
  struct: 'mlx5_cqe64',
  source: mlx5dv,
  length: 32,
  fields: { bytes: word(0, 32, 'bytes', bytes) },
} as const satisfies StructLayout

/** Mini completions: eight to an entry; the title entry in front of them holds what they have in common. */
export const miniCqeLength = 8

/** MLX5DV_CQE_RES_FORMAT_HASH. */
export const miniHash = {
  title: 'mini completion',
  struct: 'mlx5_mini_cqe8',
  source: kernelDevice,
  length: miniCqeLength,
  fields: {
    rssHash: word(0, 4, 'rx_hash_result', hex),
    byteCount: word(4, 4, 'byte_cnt', decimal),
  },
} as const satisfies StructLayout

/** MLX5DV_CQE_RES_FORMAT_CSUM. */
export const miniChecksum = {
  title: 'mini completion',
  struct: 'mlx5_mini_cqe8',
  source: dpdkPrm,
  length: miniCqeLength,
  fields: {
    checksum: word(0, 2, 'checksum', hex),
    byteCount: word(4, 4, 'byte_cnt', decimal),
  },
} as const satisfies StructLayout

/** MLX5DV_CQE_RES_FORMAT_CSUM_STRIDX. */
export const miniChecksumStride = {
  title: 'mini completion',
  struct: 'mlx5_mini_cqe8',
  source: kernelDevice,
  length: miniCqeLength,
  fields: {
    checksum: word(0, 2, 'checksum', hex),
    strideIndex: word(2, 2, 'stridx', decimal),
    byteCount: word(4, 4, 'byte_cnt', decimal),
  },
} as const satisfies StructLayout

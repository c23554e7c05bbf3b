/** The segments of a send request, which is a multiple of 16 bytes in blocks of 64. */
import {
  bits,
  bytes,
  decimal,
  dpdkPrm,
  flags,
  gid,
  hex,
  kernelQp,
  mac,
  mlx5dv,
  named,
  type StructLayout,
  word,
} from './field.js'
import { CompletionMode, EthernetFlag, FenceMode, SendOpcode } from './names.js'

/** What every send request begins with. */
export const controlSegment = {
  title: 'control segment',
  struct: 'mlx5_wqe_ctrl_seg',
  source: mlx5dv,
  length: 16,
  fields: {
    opcodeModifier: bits(0, 4, [31, 24], 'opmod_idx_opcode', hex),
    index: bits(0, 4, [23, 8], 'opmod_idx_opcode', decimal),
    opcode: bits(0, 4, [7, 0], 'opmod_idx_opcode', named(SendOpcode)),
    queuePairNumber: bits(4, 4, [31, 8], 'qpn_ds', hex),
    /** The request's size in 16 bytes. */
    segments: bits(4, 4, [5, 0], 'qpn_ds', decimal),
    signature: word(8, 1, 'signature', hex),
    streamChannel: word(9, 2, 'dci_stream_channel_id', hex),
    fence: bits(11, 1, [7, 5], 'fm_ce_se', named(FenceMode)),
    completion: bits(11, 1, [3, 2], 'fm_ce_se', named(CompletionMode)),
    solicited: bits(11, 1, [1, 1], 'fm_ce_se', decimal),
    /** Immediate data, or the key that is to be invalidated. */
    immediate: word(12, 4, 'imm', hex),
  },
} as const satisfies StructLayout

/** Behind the control segment of a raw frame: offloads, and the frame's first bytes. */
export const ethernetSegment = {
  title: 'Ethernet segment',
  struct: 'mlx5_wqe_eth_seg',
  source: kernelQp,
  length: 16,
  fields: {
    outerL4Offset: word(0, 1, 'swp_outer_l4_offset', decimal),
    outerL3Offset: word(1, 1, 'swp_outer_l3_offset', decimal),
    innerL4Offset: word(2, 1, 'swp_inner_l4_offset', decimal),
    innerL3Offset: word(3, 1, 'swp_inner_l3_offset', decimal),
    checksums: word(4, 1, 'cs_flags', flags(EthernetFlag)),
    parser: word(5, 1, 'swp_flags', hex),
    /** Bytes of payload in each frame that a TSO request is cut into. */
    segmentSize: bits(6, 2, [13, 0], 'mss', decimal),
    metadata: word(8, 4, 'flow_table_metadata', hex),
    insertVlan: bits(12, 2, [15, 15], 'inline_hdr.sz', decimal),
    /** Bytes of the frame that lie here, from `start` on. */
    inlineHeaderSize: bits(12, 2, [9, 0], 'inline_hdr.sz', decimal),
  },
} as const satisfies StructLayout

/** Where in an Ethernet segment its inline header begins; a VLAN tag to insert lies there instead. */
export const inlineHeaderStart = 14

/** The address of a datagram's peer. */
export const datagramSegment = {
  title: 'datagram segment',
  struct: 'mlx5_wqe_datagram_seg',
  source: kernelQp,
  length: 48,
  fields: {
    queueKey: word(0, 4, 'qkey', hex),
    /** The whole of this segment is there, not its first 16 bytes alone (MLX5_EXTENDED_UD_AV). */
    extended: bits(8, 4, [31, 31], 'dqp_dct', decimal),
    queuePairNumber: bits(8, 4, [23, 0], 'dqp_dct', hex),
    staticRate: bits(12, 1, [7, 4], 'stat_rate_sl', decimal),
    serviceLevel: bits(12, 1, [3, 0], 'stat_rate_sl', decimal),
    sourcePathBits: bits(13, 1, [6, 0], 'fl_mlid', decimal),
    /** RoCE v2: the source port. */
    udpSourcePort: word(14, 2, 'udp_sport', decimal),
    mac: word(20, 6, 'rmac', mac),
    trafficClass: word(26, 1, 'tclass', hex),
    hopLimit: word(27, 1, 'hop_limit', decimal),
    hasRoute: bits(28, 4, [30, 30], 'grh_gid_fl', decimal),
    gidIndex: bits(28, 4, [27, 20], 'grh_gid_fl', decimal),
    flowLabel: bits(28, 4, [19, 0], 'grh_gid_fl', hex),
    gid: word(32, 16, 'rgid', gid),
  },
} as const satisfies StructLayout

/** Where a write, a read or an atomic goes. */
export const remoteAddressSegment = {
  title: 'remote address segment',
  struct: 'mlx5_wqe_raddr_seg',
  source: mlx5dv,
  length: 16,
  fields: {
    address: word(0, 8, 'raddr', hex),
    key: word(8, 4, 'rkey', hex),
  },
} as const satisfies StructLayout

/** The operands of an atomic. */
export const atomicSegment = {
  title: 'atomic segment',
  struct: 'mlx5_wqe_atomic_seg',
  source: mlx5dv,
  length: 16,
  fields: {
    swapOrAdd: word(0, 8, 'swap_add', hex),
    compare: word(8, 8, 'compare', hex),
  },
} as const satisfies StructLayout

/** The masks of a masked compare-and-swap, behind its operands. */
export const atomicMaskSegment = {
  title: 'atomic masks',
  struct: 'mlx5_wqe_masked_atomic_seg',
  source: kernelQp,
  length: 16,
  fields: {
    swapMask: word(0, 8, 'swap_add_mask', hex),
    compareMask: word(8, 8, 'compare_mask', hex),
  },
} as const satisfies StructLayout

/** A piece of registered memory. */
export const dataSegment = {
  title: 'data segment',
  struct: 'mlx5_wqe_data_seg',
  source: mlx5dv,
  length: 16,
  fields: {
    /** 0 stands for 2³¹ (PRM). */
    byteCount: bits(0, 4, [30, 0], 'byte_count', decimal),
    key: word(4, 4, 'lkey', hex),
    address: word(8, 8, 'addr', hex),
  },
} as const satisfies StructLayout

/** The head of data that lie in the request itself. */
export const inlineDataSegment = {
  title: 'inline data segment',
  struct: 'mlx5_wqe_inl_data_seg',
  source: mlx5dv,
  length: 4,
  fields: {
    inline: bits(0, 4, [31, 31], 'byte_count', decimal),
    byteCount: bits(0, 4, [9, 0], 'byte_count', decimal),
  },
} as const satisfies StructLayout

/** What a UMR request changes about a memory key. */
export const umrControlSegment = {
  title: 'UMR control segment',
  struct: 'mlx5_wqe_umr_ctrl_seg',
  source: mlx5dv,
  length: 48,
  fields: {
    inline: bits(0, 1, [7, 7], 'flags', decimal),
    checkFree: bits(0, 1, [5, 5], 'flags', decimal),
    translationOffset: bits(0, 1, [4, 4], 'flags', decimal),
    checkQueuePair: bits(0, 1, [3, 3], 'flags', decimal),
    klmOctowords: word(4, 2, 'klm_octowords', decimal),
    offset: word(6, 2, 'translation_offset', decimal),
    mask: word(8, 8, 'mkey_mask', hex),
  },
} as const satisfies StructLayout

/** The memory key that a UMR request writes. */
export const memoryKeySegment = {
  title: 'memory key segment',
  struct: 'mlx5_wqe_mkey_context_seg',
  source: mlx5dv,
  length: 64,
  fields: {
    free: bits(0, 1, [6, 6], 'free', decimal),
    access: word(
      2,
      1,
      'access_flags',
      flags({
        LOCAL_READ: 1 << 2,
        LOCAL_WRITE: 1 << 3,
        REMOTE_READ: 1 << 4,
        REMOTE_WRITE: 1 << 5,
        ATOMIC: 1 << 6,
      }),
    ),
    queuePairNumber: bits(4, 4, [31, 8], 'qpn_mkey', hex),
    keyTag: bits(4, 4, [7, 0], 'qpn_mkey', hex),
    protectionDomain: bits(12, 4, [23, 0], 'flags_pd', hex),
    address: word(16, 8, 'start_addr', hex),
    byteLength: word(24, 8, 'len', decimal),
    translationOctowords: word(52, 4, 'translations_octword_size', decimal),
    logPageSize: bits(59, 1, [4, 0], 'log_page_size', decimal),
  },
} as const satisfies StructLayout

/** What this decoder has no layout for. */
export const unknownSegment = {
  title: 'segment',
  struct: 'unknown',
  source: dpdkPrm,
  length: 16,
  fields: { bytes: word(0, 16, 'bytes', bytes) },
} as const satisfies StructLayout

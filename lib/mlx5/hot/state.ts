/** What the hot files of a driver and the classes beside them share: words by name, and where fields lie. */
import { frameCqe } from '../layout/completion.js'
import {
  CompletionMode,
  CqeCheck,
  CqeFormat,
  CqeOpcode,
  EthernetFlag,
  FenceMode,
  inlineSegment,
  SendOpcode,
} from '../layout/names.js'
import {
  controlSegment,
  datagramSegment,
  dataSegment,
  ethernetSegment,
  inlineHeaderStart,
} from '../layout/send-request.js'

/**
 * Words of a send queue's state: the counter of the next request's first block; whether a request is open; the byte of the
 * ring where its next data segment goes, and the one where it is full (the same if none is open); its checksums; the last
 * sealed request's first block; how many frames are in sealed requests, and of how many the device was told; the counter
 * behind the last block that is free again; how many frames have completed; and how many entries of the completion queue
 * were taken.
 */
export const SendState = {
  block: 0,
  open: 1,
  next: 2,
  end: 3,
  checksums: 4,
  last: 5,
  published: 6,
  told: 7,
  freed: 8,
  completed: 9,
  entries: 10,
  words: 11,
} as const

/**
 * What the device is to do to the next frame that is written with work: the tag to insert (TPID << 16 | TCI), 0 for none;
 * bytes of the headers in front of what is cut into segments, and of each segment's payload, 0 for a frame that stays
 * whole; and the checksums, EthernetFlag bits.
 */
export const SendWork = { tag: 0, headers: 1, segmentSize: 2, checksums: 3, words: 4 } as const

/** Words of a receive queue's state: how many entries, from the next one on, are known to be there. */
export const ReceiveState = { known: 0, words: 1 } as const

/**
 * Words of a striding receive queue's state: how many strides, from the next one on, are known to be used; and how many
 * entries of the completion queue were read.
 */
export const StridingState = { known: 0, read: 1, words: 2 } as const

const { fields: control } = controlSegment
const { fields: ethernet } = ethernetSegment
const { fields: data } = dataSegment
const { fields: cqe } = frameCqe

/** Offsets in bytes, and the numbers that a driver of frames writes and reads, by the layouts of `layout/`. */
export const FrameFields = {
  control: controlSegment.length,
  indexAndOpcode: control.opcode.offset,
  indexShift: control.index.low,
  numberAndSegments: control.queuePairNumber.offset,
  send: SendOpcode.SEND,
  multiPacket: SendOpcode.ENHANCED_MPSW,
  segmented: SendOpcode.TSO,
  /** fm_ce_se in its word, whose other bytes are 0. */
  completionWord: control.signature.offset,
  signalled: CompletionMode.ALWAYS << control.completion.low,
  immediate: control.immediate.offset,
  checksumWord: controlSegment.length + ethernet.checksums.offset,
  segmentSizeWord: controlSegment.length,
  metadata: controlSegment.length + ethernet.metadata.offset,
  inlineSize: controlSegment.length + ethernet.inlineHeaderSize.offset,
  inlineStart: controlSegment.length + inlineHeaderStart,
  segmentSize: controlSegment.length + ethernet.segmentSize.offset,
  insertVlan: 1 << ethernet.insertVlan.low,
  bothChecksums: EthernetFlag.L3_CSUM | EthernetFlag.L4_CSUM,
  byteCount: data.byteCount.offset,
  key: data.key.offset,
  addressHigh: data.address.offset,
  addressLow: data.address.offset + 4,
  completedBytes: cqe.byteCount.offset,
  checksWord: cqe.checks.offset & ~3,
  goodChecks: (CqeCheck.L3_OK | CqeCheck.L4_OK) << ((cqe.checks.offset & 3) * 8),
  /** The word with counter, signature, opcode and owner bit. */
  ownerWord: cqe.wqeCounter.offset,
  ownerBit: 24,
  formatShift: 26,
  opcodeShift: 28,
  requester: CqeOpcode.REQ,
  received: CqeOpcode.RESP_SEND,
  invalid: CqeOpcode.INVALID,
  compressed: CqeFormat.COMPRESSED,
} as const

/**
 * Words of the state of a queue pair of messages: the device's state (ibv_qp_state); the number of the last send request,
 * counted from 1, and of the last that is done; the counter of the next one's first block, and of the last block that is free
 * again; sends since the last that generates a completion, and that one's number; how many receives were posted, and how many
 * of them are done.
 */
export const MessageState = {
  device: 0,
  sent: 1,
  done: 2,
  block: 3,
  freed: 4,
  unsignalled: 5,
  awaited: 6,
  posted: 7,
  received: 8,
  words: 9,
} as const

/** A memory region in the table of a queue pair; the key is a word as it lies in a ring. A power of two of words. */
export const RegionLine = { id: 0, key: 1, writable: 2, addressLow: 3, addressHigh: 4, words: 8 } as const

/**
 * What an opcode of verbs means to the device: its opcode there, ibv_wc_opcode << 8, the segments before its data << 16, and
 * flags.
 */
export const RequestKind = {
  completion: 8,
  segments: 16,
  needsReply: 1 << 20,
  immediate: 1 << 21,
  atomic: 1 << 22,
  swap: 1 << 23,
} as const

/** What is remembered of a request under way, above its ibv_wc_opcode. */
export const RequestInfo = { wanted: 1 << 8, immediate: 1 << 9 } as const

const { fields: datagram } = datagramSegment

/** Numbers that a driver of messages writes and reads. */
export const MessageFields = {
  signalled: CompletionMode.ALWAYS << control.completion.low,
  solicited: 1 << control.solicited.low,
  fenced: FenceMode.SMALL_AND_FENCE << control.fence.low,
  inline: inlineSegment | 0,
  extended: (1 << datagram.extended.low) | 0,
  ownerWord: FrameFields.ownerWord,
  ownerBit: FrameFields.ownerBit,
  opcodeShift: FrameFields.opcodeShift,
  requester: CqeOpcode.REQ,
  receivedWriteImmediate: CqeOpcode.RESP_WR_IMM,
  receivedImmediate: CqeOpcode.RESP_SEND_IMM,
  receivedInvalidate: CqeOpcode.RESP_SEND_INV,
  requesterError: CqeOpcode.REQ_ERR,
  responderError: CqeOpcode.RESP_ERR,
  invalid: CqeOpcode.INVALID,
} as const

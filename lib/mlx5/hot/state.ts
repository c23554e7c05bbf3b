/** What the hot files of a driver and the classes beside them share: words by name, and where fields lie. */
import { frameCqe } from '../layout/completion.js'
import { CompletionMode, CqeCheck, CqeFormat, CqeOpcode, EthernetFlag, SendOpcode } from '../layout/names.js'
import { controlSegment, dataSegment, ethernetSegment, inlineHeaderStart } from '../layout/send-request.js'

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

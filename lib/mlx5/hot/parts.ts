/** What the hot files of a driver get: the only things that they use, besides the language itself (lib/hot/own-copy.ts). */
import type { HotTransmit } from '../../ring/hot/parts.js'
import type { SendMailbox } from '../native.js'
import type { FrameFields, ReceiveState, SendState, SendWork, StridingState } from './state.js'

/** A ring of the device's: its bytes, as words of this machine and by a view that is big-endian by default. */
export interface RingBytes {
  words: Int32Array
  view: DataView
  /** log2 of the entries. */
  countShift: number
  /** log2 of the bytes from one entry to the next. */
  strideShift: number
}

/** Of record.cts. */
export interface RecordParts {
  plain: boolean
  record: Int32Array
  /** The bits that the device takes. */
  mask: number
  DataView: DataViewConstructor
}

/** Common to all. */
interface Parts {
  /** How far this end has come. */
  position: Int32Array
  fields: typeof FrameFields
}

/** Common to the two ends of a send queue. */
interface SendParts extends Parts {
  state: Int32Array
  mailbox: Int32Array
  /** By frame, modulo its length: its offset in the arena. */
  sent: Uint32Array
  /** By a request's first block: how many frames were pushed when it was sealed, and the counter of the block behind it. */
  framesAt: Int32Array
  blockBehind: Int32Array
  SendState: typeof SendState
  SendMailbox: typeof SendMailbox
}

/** Of send-requests.cts. */
export interface SendRequestParts extends SendParts {
  ring: RingBytes
  /** The queue pair's number, in the place where a request has it. */
  number: number
  /** Key of the arena, as a word in the ring. */
  key: number
  /** The ring from the first data segment's key on, from its address's upper half, and from its lower one. */
  keys: Int32Array
  addressHighs: Int32Array
  addressLows: DataView
  /** Checksums that each frame is sent with: EthernetFlag bits. */
  checksums: number
  /** The most frames of a request. */
  mostFrames: number
  /** Bytes of each frame that lie in its request: 0 or 18. */
  inlined: number
  /** The arena, and what its offsets need to be the device's addresses. */
  memory: Uint8Array
  base: number
}

export interface HotSendRequests extends HotTransmit {
  /** Writes a frame that is sent with these checksums, in a request of its own. */
  write(address: number, length: number, checksums: number): void
  /** Completes the request that is open, if one is. */
  seal(): void
  /** How many frames the device was not told of. */
  outstanding(): number
}

/** Of send-work.cts. */
export interface SendWorkParts extends SendRequestParts {
  /** Completes the multi-packet request that is open. */
  seal(): void
  work: Int32Array
  SendWork: typeof SendWork
}

/** Of send-completions.cts. */
export interface SendCompletionParts extends SendParts {
  /** Whether plain loads do for the hand-over. */
  plain: boolean
  ring: RingBytes
  /** Tells the device which entries may be overwritten. */
  setConsumerIndex: (index: number) => void
  /** A request has failed; the entry begins at byte `at`, and its frames at number `from`. */
  failed(at: number, from: number): void
}

/** Of receive-requests.cts. */
export interface ReceiveRequestParts extends Parts {
  ring: RingBytes
  /** Tells the device how many requests there are. */
  setProducerIndex: (index: number) => void
  /** By request, modulo its length: the offset in the arena where the device writes. */
  posted: Int32Array
  headroom: number
  /** What an offset needs to be the device's address. */
  base: number
}

/** Of receive-completions.cts. */
export interface ReceiveCompletionParts extends Parts {
  /** Whether plain loads do for the hand-over. */
  plain: boolean
  ring: RingBytes
  /** Tells the device which entries may be overwritten. */
  setConsumerIndex: (index: number) => void
  /** By request, modulo its length: the offset in the arena. */
  posted: Int32Array
  /** By frame, modulo its length: its bytes, and its flags above them. */
  told: Int32Array
  state: Int32Array
  /** The most entries that a look finds. */
  most: number
  /** FrameFlag.checksumValid */
  checksumValid: number
  /** A request has failed; the entry begins at byte `at`. */
  failed(at: number): void
  ReceiveState: typeof ReceiveState
}

/** Of striding-completions.cts. */
export interface StridingCompletionParts extends Omit<ReceiveCompletionParts, 'told' | 'ReceiveState'> {
  /** By stride, modulo its length: bytes of the frame that begins there, and its flags above them; 0: none does. */
  told: Int32Array
  /** By stride, as in `told`: which entry of the completion queue told of it. */
  entryOf: Int32Array
  /** log2 of the strides of a request, and of a stride's bytes. */
  stridesShift: number
  strideBytesShift: number
  /** Whether mini completions tell their stride (MLX5DV_CQE_RES_FORMAT_CSUM_STRIDX). */
  miniStride: boolean
  StridingState: typeof StridingState
}

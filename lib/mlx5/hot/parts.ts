/** What the hot files of a driver get: the only things that they use, besides the language itself (lib/hot/own-copy.ts). */
import type { HotTransmit } from '../../ring/hot/parts.js'
import type { CompletionFlag, CompletionOpcode } from '../../verbs/constants.js'
import type { Completion, Control, Receive, Send, SendFlag } from '../../verbs/request/records.js'
import type { Refusal } from '../../verbs/request/refusal.js'
import type { ArmMailbox, SendMailbox } from '../native.js'
import type {
  FrameFields,
  MessageFields,
  MessageState,
  ReceiveState,
  RegionLine,
  RequestInfo,
  RequestKind,
  SendState,
  SendWork,
  StridingState,
} from './state.js'

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

/** Of a ring of completions of received frames: its entries, and what is where in one. */
export interface ReceivedPlaces {
  entries: number
  entryMask: number
  /** Of an entry's 64 bytes: byte in its stride. */
  start: number
  /** log2 of the words from one entry to the next. */
  wordShift: number
  /** Words and byte in its stride. */
  ownerWord: number
  checksWord: number
  lengthByte: number
  /** In the word with the owner bit: opcode, format and owner bit; and what an entry that tells of one frame has there. */
  kind: number
  frame: number
}

/** Common to the ends of a receive queue that read completions. */
export interface ReceivedParts extends Parts {
  /** Whether plain loads do for the hand-over. */
  plain: boolean
  ring: RingBytes
  places: ReceivedPlaces
  /** Tells the device which entries may be overwritten. */
  setConsumerIndex: (index: number) => void
  /** FrameFlag.checksumValid */
  checksumValid: number
  /** The most frames, or strides, that a look finds. */
  most: number
  /** A request has failed; the entry begins at byte `at`. */
  failed(at: number): void
}

/** Of receive-completions.cts. */
export interface ReceiveCompletionParts extends ReceivedParts {
  /** By request, modulo its length: the offset in the arena. */
  posted: Int32Array
  /** By frame, modulo its length: its bytes, and its flags above them. */
  told: Int32Array
  state: Int32Array
  ReceiveState: typeof ReceiveState
}

/** A ring of records that posts write, and that a driver takes instead of the binding (lib/verbs/request/ring.ts). */
export interface RecordRing {
  words: Uint32Array
  /** Words of the indices, and of the first record. */
  producer: number
  consumer: number
  first: number
  mask: number
  /** log2 of a record's words. */
  shift: number
}

/** Of regions.cts. */
export interface RegionParts {
  /** By handle, modulo `lines`: {@link RegionLine}. */
  table: Int32Array
  /** A power of two. */
  lines: number
  /** One word that changes when a region is closed. */
  closings: Int32Array
  /** Writes a region's line, which begins at that word, and returns it; −1 when there is no such region. */
  load(id: number, line: number): number
  RegionLine: typeof RegionLine
}

/** Memory of a region: all of the buffer, and where the region begins there. */
export interface RegionMemory {
  bytes: Uint8Array
  words: Int32Array
  start: number
}

/** What is remembered of the requests of a queue pair: by a send's first block, and by a receive's place. */
export interface MessagePair {
  state: Int32Array
  control: Uint32Array
  numberAt: Int32Array
  behindAt: Int32Array
  cookieAt: Uint32Array
  infoAt: Int32Array
  blockMask: number
  receiveCookies: Uint32Array
  receiveMask: number
}

/** Common to the two ends of a queue pair of messages. */
interface MessageParts {
  state: Int32Array
  control: Uint32Array
  records: RecordRing
  ring: RingBytes
  /** Tells why the request with this cookie is refused, unless one was before it. */
  refuse(errno: number, reason: number, detail: number, cookie: number, isReceive: number): void
  /** Where a region is in the table; −1. */
  find: (id: number) => number
  table: Int32Array
  /** By line: bytes of the region. */
  sizes: Float64Array
  maxElements: number
  /** The most bytes of a send, or of an element of a receive. */
  longest: number
  /** The most requests under way. */
  depth: number
  errno: { EINVAL: number; ENOMEM: number; EMSGSIZE: number }
  Refusal: typeof Refusal
  RegionLine: typeof RegionLine
  MessageState: typeof MessageState
  Control: typeof Control
}

/** Of message-sends.cts. */
export interface MessageSendParts extends MessageParts, Omit<MessagePair, 'receiveCookies' | 'receiveMask'> {
  mailbox: Int32Array
  bell: () => void
  /** By ibv_wr_opcode: {@link RequestKind}; 0 for what the queue pair's type does not have. */
  kinds: Int32Array
  /** UD. */
  datagram: boolean
  maxInline: number
  /** Number of the queue pair. */
  number: number
  /** Bytes of half the register. */
  blueFlame: number
  /** By line: where the region's bytes are. */
  memories: RegionMemory[]
  /** Where an address handle's vector begins in `vectors`; −1 when there is none. */
  vectorOf(id: number): number
  vectors: Int32Array
  /** IBV_QPS_RTS */
  readyToSend: number
  fields: typeof MessageFields
  Send: typeof Send
  SendFlag: typeof SendFlag
  RequestKind: typeof RequestKind
  RequestInfo: typeof RequestInfo
  SendMailbox: typeof SendMailbox
}

/** Of message-receives.cts. */
export interface MessageReceiveParts extends MessageParts {
  cookies: Uint32Array
  setProducerIndex: (index: number) => void
  /** The key of an element that ends a list, as a word in the ring. */
  invalidKey: number
  Receive: typeof Receive
}

/** Of message-submit.cts. */
export interface MessageSubmitParts {
  control: Uint32Array
  mailbox: Int32Array
  receives: () => number
  sends: () => number
  Control: typeof Control
  SendMailbox: typeof SendMailbox
}

/** Of message-completions.cts. */
export interface MessageCompletionParts {
  /** Whether plain loads do for the hand-over. */
  plain: boolean
  mailbox: Int32Array
  ring: RingBytes
  columns: Uint32Array
  batch: number
  /** Throws the error of a closed queue. */
  closed(): never
  /** The queue pair with this number, if it uses the queue. */
  pairOf(number: number): MessagePair | undefined
  /** Tells the device which entries may be overwritten. */
  setConsumerIndex: (index: number) => void
  /** By syndrome: ibv_wc_status. */
  statusOf: Int32Array
  fields: typeof MessageFields
  opcodes: typeof CompletionOpcode
  flags: typeof CompletionFlag & { WITH_INV: number }
  ArmMailbox: typeof ArmMailbox
  MessageState: typeof MessageState
  RequestInfo: typeof RequestInfo
  Control: typeof Control
  Completion: typeof Completion
}

/** What message-completions.cts makes. */
export interface HotMessageCompletions {
  poll(): number
  /** Queue pairs have come or gone. */
  forget(): void
}

/** Of striding-completions.cts. */
export interface StridingCompletionParts extends ReceivedParts {
  /** By request, modulo its length: the offset in the arena. */
  posted: Int32Array
  state: Int32Array
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

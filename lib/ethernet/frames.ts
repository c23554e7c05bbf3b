import { inspect } from 'node:util'
import { instance, integer, type Names, options as optionsOf, rangeError, typeError } from '../argument.js'
import { Arena } from '../ring/arena.js'
import { SlotMemory } from '../ring/slot-memory.js'
import { SlotPool } from '../ring/slots.js'

/** Options of {@link FramePool}. */
export interface FramePoolOptions {
  /** Memory to cut into frames. Default: the pool allocates its own. */
  arena?: Arena
  /** Bytes a frame, a power of two from 128 to 131072. Default 2048. */
  frameSize?: number
  /** How many frames, 2 to 262144. Default: as many as fit into `arena`, else 4096 but at most 64 MiB. */
  frameCount?: number
  /**
   * Bytes left free before a received or claimed frame, for a header to be prepended. AF_XDP, whose buffers are at most
   * a page, takes at most 448 less than one of its buffers. Default 0.
   */
  headroom?: number
}
export const framePoolOptionNames = {
  arena: true,
  frameSize: true,
  frameCount: true,
  headroom: true,
} as const satisfies Names<FramePoolOptions>

const maxFrames = 2 ** 18
/** Offsets into an arena are u32 in the records. */
const maxBytes = 2 ** 32 - 1
export const headerBytes = 14

/** Words of the record that each frame has in shared memory (binding/ethernet/records.h, FrameRecord). */
export const FrameRecord = {
  offset: 0,
  length: 1,
  originalLength: 2,
  flags: 3,
  vlan: 4,
  seconds: 5,
  nanoseconds: 6,
  /** of a partial checksum: the start of the checksummed range << 16 | the checksum's place from there */
  checksum: 7,
  words: 8,
} as const

/** Bits of `PacketQueue.flags(slot)`. */
export const FrameFlag = {
  /** The frame is longer than its place: only `length` of its `originalLength` bytes are there. */
  truncated: 1,
  /**
   * The sender left the transport checksum to a device, which a veth does not have: its field holds the sum of the
   * pseudo-header. `completeChecksum()` completes it in place; `forward()` sends the frame with it completed.
   */
  checksumPartial: 2,
  /** The kernel or the device has verified the transport checksum. */
  checksumValid: 4,
} as const

/** The addressee of a frame, `PacketQueue.packetType(slot)`: sll_pkttype of packet(7). */
export const PacketType = { host: 0, broadcast: 1, multicast: 2, otherHost: 3, outgoing: 4 } as const

/**
 * A flag of a record of which only offset, length and the flags' lowest byte are written: AF_XDP gives a frame nothing
 * else, and a raw packet queue pair little. {@link FrameTable.word} reads such a record as well as a full one.
 */
export const brief = 1 << 15

// Constants local to this file: V8 folds them, but loads an exported object's field at each use.
const recordShift = Math.log2(FrameRecord.words) | 0
const briefBit = brief
const { offset: offsetWord, length: lengthWord } = FrameRecord
const { originalLength: originalLengthWord, flags: flagsWord } = FrameRecord

/** A queue's view of its pool, internal to lib/. For the declared fields see RingEnd in ring/ring.ts. */
export class FrameTable {
  declare readonly slots: SlotPool
  /** One {@link FrameRecord} a frame. */
  declare readonly records: Uint32Array<SharedArrayBuffer>
  /** log2 of the frame size: an offset shifted by it is a frame's index. */
  declare readonly shift: number
  declare readonly frameSize: number
  declare readonly headroom: number

  /** @param from the number of frames, or another thread's share of the pool */
  constructor(from: number | Pick<SharedFrames, 'slots' | 'records'>, frameSize: number, headroom: number) {
    const own = typeof from === 'number'
    const buffer = own ? new SharedArrayBuffer(from * FrameRecord.words * 4) : from.records
    this.slots = new SlotPool(own ? from : new SlotMemory(from.slots))
    this.records = new Uint32Array(buffer)
    this.shift = Math.log2(frameSize) | 0
    this.frameSize = frameSize | 0
    this.headroom = headroom | 0
  }

  /** How many frames are free. */
  get free(): number {
    return this.slots.freeCount
  }

  /** Writes a brief record: the frame's place and length, and no more. */
  describe(index: number, offset: number, length: number): void {
    const { records } = this
    const record = index << recordShift
    records[record | offsetWord] = offset
    records[record | lengthWord] = length
    records[record | flagsWord] = briefBit
  }

  /** Adds bits of {@link FrameFlag} to a brief record. */
  mark(index: number, flags: number): void {
    this.records[(index << recordShift) | flagsWord] |= flags
  }

  /** Writes all fields of a frame's record, after {@link describe}. */
  complete(index: number, length: number, originalLength: number, flags: number): void {
    const record = index << recordShift
    this.records.fill(0, record | originalLengthWord, record + FrameRecord.words)
    this.records[record | lengthWord] = length
    this.records[record | originalLengthWord] = originalLength
    this.records[record | flagsWord] = flags
  }

  /** A word of the record of the caller's slot. */
  word(slot: number, word: number): number {
    const record = this.slots.index(slot) << recordShift
    if ((this.records[record | flagsWord] & briefBit) === 0) return this.records[record + word]
    if (word === offsetWord) return this.records[record + word]
    if (word === flagsWord) return this.records[record | flagsWord] & 0xff
    return word <= originalLengthWord ? this.records[record | lengthWord] : 0
  }

  /**
   * The packet type from the record of the caller's slot, or, of a brief record, from the frame's current destination
   * address.
   */
  packetType(slot: number, memory: Uint8Array, own: Uint8Array): number {
    const record = this.slots.index(slot) << recordShift
    const flags = this.records[record | flagsWord]
    if ((flags & briefBit) === 0) return (flags >>> 8) & 7
    if (this.records[record | lengthWord] === 0) return 0
    return typeOf(memory, this.records[record | offsetWord], own)
  }

  /** The index of a frame that the caller sends. Throws if the frame exceeds its place. */
  check(slot: number, length: number): number {
    const index = this.slots.index(slot)
    const most = this.#room(index)
    if (!Number.isInteger(length) || length < headerBytes || length > most) this.refuseLength(slot, length)
    return index
  }

  /** Throws the error of a length that exceeds the place of the caller's frame, or is too short for a header. */
  refuseLength(slot: number, length: number): never {
    integer('length', length, headerBytes, this.#room(this.slots.index(slot)))
    throw new Error('unreachable')
  }

  /** Bytes from a frame's start to the end of its place. */
  #room(index: number): number {
    const within = this.records[(index << recordShift) | offsetWord] & (this.frameSize - 1)
    return this.frameSize - within
  }

  /** Moves the start of the caller's frame. */
  move(slot: number, offset: number): void {
    const index = this.slots.index(slot)
    const start = (index << this.shift) >>> 0
    integer('offset', offset, start, start + this.frameSize - headerBytes)
    this.records[(index << recordShift) | offsetWord] = offset
  }
}

/** The packet type by the destination address, as eth_type_trans() in the kernel sets it for a packet socket. */
export function typeOf(memory: Uint8Array, at: number, own: Uint8Array): number {
  if ((memory[at] & 1) === 0) {
    for (let i = 5; i >= 0; i--) if (memory[at + i] !== own[i]) return PacketType.otherHost
    return PacketType.host
  }
  for (let i = 0; i < 6; i++) if (memory[at + i] !== 0xff) return PacketType.multicast
  return PacketType.broadcast
}

/** A pool's table, for the queues on it. */
export let tableOf: (pool: FramePool) => FrameTable

/**
 * A shared pool, for another thread to join: the result of {@link FramePool.share}, sent with postMessage() or as
 * workerData. All of it is shared memory.
 */
export interface SharedFrames {
  readonly arena: Uint8Array<SharedArrayBuffer>
  readonly frameSize: number
  readonly headroom: number
  /** The numbers and owners of the frames. */
  readonly slots: SharedArrayBuffer
  /** The records of the frames. */
  readonly records: SharedArrayBuffer
}

/**
 * An arena cut into frames of one size, with an owner for each. Queues that share a pool forward frames to one another
 * without a copy, also from thread to thread ({@link share}).
 *
 * **The rule of ownership:** a slot is the caller's from the moment `receive()` or `claim()` hands it out, without a
 * time limit, until the caller gives it back with `release()`, `forward()` or `send()`. In between, no other holder
 * reads or writes the frame; before and after, every call refuses the slot with ERR_IBVERBS_STALE_SLOT.
 *
 * **Between threads:** the caller is the thread whose queue handed the slot out, and no other thread's queue accepts
 * it. A slot changes threads with {@link give} in one and {@link take} in the other; the caller carries the number
 * across (postMessage(), a ring in shared memory).
 */
export class FramePool {
  /** The arena. Frame offsets count from the first byte of its memory. */
  readonly arena: Arena
  /** Bytes a frame. */
  readonly frameSize: number
  readonly frameCount: number
  /** Bytes left free before a received or claimed frame. */
  readonly headroom: number
  readonly #table: FrameTable

  /** @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE */
  constructor(options?: FramePoolOptions) {
    const shared = joining
    joining = undefined
    const {
      arena,
      frameSize = 2048,
      headroom = 0,
      frameCount,
    } = optionsOf('options', options, framePoolOptionNames)
    integer('options.frameSize', frameSize, 128, 131072)
    if (!Number.isInteger(Math.log2(frameSize)))
      throw rangeError('options.frameSize', 'a power of two', frameSize)
    integer('options.headroom', headroom, 0, frameSize - headerBytes)
    if (arena !== undefined) instance('options.arena', arena, Arena)
    const bytes = Math.min(arena?.byteLength ?? 2 ** 26, maxBytes)
    const fit = Math.min(Math.floor(bytes / frameSize), arena ? maxFrames : 4096)
    const most = arena ? fit : Math.min(maxFrames, Math.floor(maxBytes / frameSize))
    if (arena && fit < 2)
      throw rangeError('options.arena', `room for two frames of ${frameSize} bytes`, arena.byteLength)
    this.frameCount = frameCount === undefined ? fit : integer('options.frameCount', frameCount, 2, most)
    this.frameSize = frameSize
    this.headroom = headroom
    this.arena = arena ?? Arena.fresh('options.frameCount × frameSize', this.frameCount * frameSize)
    this.#table = new FrameTable(shared ?? this.frameCount, frameSize, headroom)
  }

  /**
   * Joins another thread's pool: the same frames, under the same numbers. This thread can claim, and receive into, the
   * frames that are free there.
   *
   * @param shared the result of {@link share} there
   * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE for a value that share() did not return
   */
  static join(shared: SharedFrames): FramePool {
    // The result of share() in another thread, perhaps of another version of this package: data, not options.
    if (typeof shared !== 'object' || shared === null) throw typeError('shared', 'an object', shared)
    const { arena, frameSize, headroom, slots, records } = shared
    instance('shared.slots', slots, SharedArrayBuffer)
    instance('shared.records', records, SharedArrayBuffer)
    const frameCount = SlotMemory.countOf(slots)
    if (frameCount < 2 || records.byteLength !== frameCount * FrameRecord.words * 4) {
      throw rangeError('shared', 'what FramePool.share() gave', shared)
    }
    const options = { arena: Arena.over(arena), frameSize, headroom, frameCount }
    joining = { slots, records }
    return new FramePool(options)
  }

  /**
   * Lets other threads {@link join} the pool. Each keeps up to 64 free frames to itself; {@link free} does not count
   * those of the other threads.
   */
  share(): SharedFrames {
    const { slots, records } = this.#table
    slots.share()
    return {
      arena: this.arena.bytes,
      frameSize: this.frameSize,
      headroom: this.headroom,
      slots: slots.memory.buffer,
      records: records.buffer,
    }
  }

  /** This thread's number among the threads that share the pool: see {@link reclaim}. */
  get member(): number {
    return this.#table.slots.member
  }

  /**
   * Releases the caller's slot to the one other thread that {@link take}s it.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  give(slot: number): void {
    this.#table.slots.give(slot)
  }

  /**
   * Takes over a slot that another thread gave away: the same number names the same frame, and `length`, `forward` and
   * all other calls of this thread's queues on the pool accept it. Of several threads that try, one succeeds.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT in all the others
   */
  take(slot: number): void {
    this.#table.slots.accept(slot)
  }

  /**
   * Frees all frames of a thread that ended without giving them back: those of its callers, of its queues, and the free
   * ones that it kept.
   *
   * @param member its {@link member}, after the worker's 'exit' event; for a running thread, this would free frames in
   *   use
   * @throws RangeError ERR_OUT_OF_RANGE for a number that is no other thread's
   */
  reclaim(member: number): void {
    const { slots } = this.#table
    if (member === slots.member || !slots.memory.isMember(member)) {
      throw rangeError('member', "another thread's number in this pool", member)
    }
    slots.reclaim(member)
  }

  /** As {@link PacketQueue.offset}, for a thread that has no queue on the pool. */
  offset(slot: number): number {
    return this.#table.word(slot, FrameRecord.offset)
  }

  /** As {@link PacketQueue.length}. */
  length(slot: number): number {
    return this.#table.word(slot, FrameRecord.length)
  }

  /** As {@link PacketQueue.release}. */
  release(slot: number): void {
    this.#table.slots.release(slot)
  }

  /** How many frames are free at this moment, except those that other threads keep to themselves. */
  get free(): number {
    return this.#table.free
  }

  [inspect.custom](): string {
    return `FramePool { frameCount: ${this.frameCount}, frameSize: ${this.frameSize}, free: ${this.free} }`
  }

  static {
    tableOf = (pool) => pool.#table
  }
}

/** The other thread's share, for the next constructor call; only join() sets it. */
let joining: Pick<SharedFrames, 'slots' | 'records'> | undefined

import { inspect } from 'node:util'
import { instance, integer, options as optionsOf, rangeError } from '../argument.js'
import { Arena } from '../ring/arena.js'
import { SlotPool, SlotState } from '../ring/slots.js'

/** Options of {@link FramePool}. */
export interface FramePoolOptions {
  /** Memory to cut into frames; without it the pool allocates its own. */
  arena?: Arena
  /** Bytes a frame, a power of two from 128 to 131072. Default 2048. */
  frameSize?: number
  /** How many frames, 2 to 262144. Default: what fits into `arena`, else 4096 but at most 64 MiB. */
  frameCount?: number
  /** Bytes left free before a received or claimed frame, so that a header can be pushed. Default 0. */
  headroom?: number
}

const maxFrames = 2 ** 18
/** Offsets into an arena are u32 in the records. */
const maxBytes = 2 ** 32 - 1
const headerBytes = 14

/** Words of the record that each frame has in shared memory (binding/ethernet/records.h, FrameRecord). */
export const FrameRecord = {
  offset: 0,
  length: 1,
  originalLength: 2,
  flags: 3,
  vlan: 4,
  seconds: 5,
  nanoseconds: 6,
  /** where the checksum of a frame with a partial one begins to count << 16 | where from there it stands */
  checksum: 7,
  words: 8,
} as const

/** Bits of `PacketQueue.flags(slot)`. */
export const FrameFlag = {
  /** The frame was longer than its place: `length` of its `originalLength` bytes are there. */
  truncated: 1,
  /**
   * The sender left the transport checksum to a device, which on a veth there is not: what stands there is the sum of the
   * pseudo-header. `completeChecksum()` completes it, `forward()` has it completed.
   */
  checksumPartial: 2,
  /** The kernel or the device has verified the transport checksum. */
  checksumValid: 4,
} as const

/** To whom a frame was addressed, `PacketQueue.packetType(slot)`: sll_pkttype of packet(7). */
export const PacketType = { host: 0, broadcast: 1, multicast: 2, otherHost: 3, outgoing: 4 } as const

/** What a queue knows of its pool, and nobody outside lib/ sees. */
export class FrameTable {
  readonly slots: SlotPool
  /** One {@link FrameRecord} a frame. */
  readonly records: Uint32Array<SharedArrayBuffer>
  /** log2 of the frame size: an offset shifted by it is a frame's index. */
  readonly shift: number
  #holders = new Set<number>()

  constructor(frameCount: number, frameSize: number) {
    this.slots = new SlotPool(frameCount)
    this.records = new Uint32Array(new SharedArrayBuffer(frameCount * FrameRecord.words * 4))
    this.shift = Math.log2(frameSize)
  }

  /** A pair of holders (n: waiting to receive, n + 1: sent) for a new queue. */
  attach(): number {
    let holder: number = SlotState.held
    while (this.#holders.has(holder)) holder += 2
    this.#holders.add(holder)
    return holder
  }

  /** The queue is gone: what it held is free again. */
  detach(holder: number): void {
    this.slots.freeAll(holder)
    this.slots.freeAll(holder + 1)
    this.#holders.delete(holder)
  }
}

export let tableOf: (pool: FramePool) => FrameTable

/**
 * An arena cut into frames of one size, and who owns each of them. Queues of the same thread that share a pool forward
 * frames to one another without a copy.
 *
 * **The rule of ownership:** a slot is the caller's from the moment `receive()` or `claim()` hands it out, and for as
 * long as the caller likes, until the caller gives it back with `release()`, `forward()` or `send()`. In between nobody
 * else reads or writes the frame; before and after, the slot is refused with ERR_IBVERBS_STALE_SLOT.
 */
export class FramePool {
  /** The arena. Offsets of frames count from the first byte of its memory. */
  readonly arena: Arena
  /** Bytes a frame. */
  readonly frameSize: number
  readonly frameCount: number
  /** Bytes left free before a received or claimed frame. */
  readonly headroom: number
  readonly #table: FrameTable

  /** @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE */
  constructor(options?: FramePoolOptions) {
    const { arena, frameSize = 2048, headroom = 0, frameCount } = optionsOf('options', options)
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
    this.arena = arena ?? Arena.allocate(this.frameCount * frameSize)
    this.#table = new FrameTable(this.frameCount, frameSize)
  }

  /** How many frames are nobody's at this moment. */
  get free(): number {
    return this.#table.slots.freeCount
  }

  [inspect.custom](): string {
    return `FramePool { frameCount: ${this.frameCount}, frameSize: ${this.frameSize}, free: ${this.free} }`
  }

  static {
    tableOf = (pool) => pool.#table
  }
}

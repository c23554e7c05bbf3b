import { constants } from 'node:os'
import { rangeError, typeError } from '../argument.js'
import { verbsError } from '../errors.js'
import { ownCopy } from '../hot/own-copy.js'
import { cells } from '../ring/ring.js'
import type { Batch } from './batch.js'
import { FrameFlag, FrameRecord, type FrameTable, tableOf, typeOf } from './frames.js'
import { commonParts } from './hot/common.js'
import type { ReceiveCalls, ReceiveParts } from './hot/parts.js'
import { ReceiveState } from './hot/state.js'
import { type Link, LinkState } from './interface/link.js'
import type { FillRing, Port, ReceiveRing, ReceivingEnd } from './port.js'
import type { QueueParts } from './queue-parts.js'

const { EFAULT, ERANGE } = constants.errno

const { filled: filledAt, used: usedAt, copying: copyingAt } = ReceiveState

/** How many frames a refill by whole buffers looks at: an empty look must not cost as much as the pool has frames. */
const framesPerSweep = 1024

/** Throws the error of an invalid index into the last batch. */
export function batchIndexError(i: unknown, count: number): never {
  if (typeof i !== 'number') throw typeError('i', 'a number', i)
  throw rangeError('i', `an index into the ${count} frames of the last receive()`, i)
}

/**
 * The receiving half of a queue, on any port: moves free frames from the pool into the fill ring, and received ones
 * from the receive ring to the caller. hot/receive.cts does what is done for each batch and each frame; here is the
 * rest: the doorbell and its errors, frames in several descriptors, and forged records.
 *
 * Each frame of the pool lends the device its first buffer. A longer frame lies in the first buffers of several frames;
 * the receiver copies the later parts behind the first, in that frame's own room, so that every frame is contiguous.
 */
export class Receiver implements ReceivingEnd {
  invalid = 0
  truncated = 0
  readonly unwanted = 0
  /** Frames that were copied out of their buffers, because kept ones hold too many buffers back. */
  copied = 0
  /** Takes received frames into the batch from `first` on; returns how many. */
  readonly take: (first: number) => number
  /** {@link take}, of a whole batch. */
  readonly receive: () => number
  readonly #port: Port
  readonly #link: Link
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #holder: number
  /** How many frames the device has when the fill ring is full. */
  readonly #target: number
  /** Port.framesPerBuffer */
  readonly #framesPerBuffer: number
  /** Where the next look for free buffers begins: the index of a frame. */
  #sweep = 0
  /** Of the sweep through the pool that is under way: buffers of which a caller holds a frame. */
  #pinned: number[] = []
  /** Free frames of such buffers, to copy received ones to: the holder's, as long as they are here. */
  readonly #spare: number[] = []
  readonly #batch: Batch
  readonly #ring: ReceiveRing
  readonly #fill: FillRing
  readonly #state = cells(ReceiveState.words)
  readonly #received = new Float64Array(new SharedArrayBuffer(64), 0, 1)

  /**
   * @param holder owns the frames in the fill ring (lib/ring/slots.ts)
   * @param target how many frames the fill ring holds; 0 for a queue that only transmits
   */
  constructor(port: Port, link: Link, queue: QueueParts, holder: number, target: number) {
    this.#port = port
    this.#link = link
    this.#table = tableOf(queue.frames)
    this.#memory = queue.frames.arena.bytes
    this.#holder = holder
    this.#batch = queue.batch
    const { framesPerBuffer = 1 } = port
    this.#framesPerBuffer = framesPerBuffer
    this.#target = target - (target % framesPerBuffer)
    if (framesPerBuffer > 1) this.#table.slots.keepWhole()
    this.#ring = port.receive
    this.#fill = port.fill
    const quarterGone = this.#target - (this.#target >> 2)
    const compile = ownCopy<(parts: ReceiveParts) => ReceiveCalls>(
      new URL('./hot/receive.cjs', import.meta.url),
    )
    const { take, receive } = compile({
      ...commonParts(this.#table, queue.closed),
      port,
      ring: port.receive.hot(),
      fill: port.fill.hot(),
      batch: queue.batch,
      attention: port.attention,
      link: link.state,
      gone: LinkState.gone,
      state: this.#state,
      received: this.#received,
      holder,
      target: this.#target,
      // Of whole buffers a quarter is refilled at once.
      scarce: Math.min(port.scarce, framesPerBuffer > 1 ? quarterGone + 1 : this.#target),
      framesPerBuffer,
      describes: port.describes,
      detailed: port.detail !== undefined,
      ReceiveState,
      receiver: {
        look: () => this.#look(),
        polled: (status) => this.#polled(status),
        rest: (count, used, available) => this.#rest(count, used, available),
        refill: () => this.#refill(),
        replenish: () => this.#port.replenish?.(),
      },
    })
    this.take = take
    this.receive = receive
    // Of whole buffers a refill looks at a part of the pool only.
    const sweeps = framesPerBuffer > 1 ? Math.ceil(this.#table.slots.count / framesPerSweep) : 1
    for (let i = 0; i < sweeps; i++) this.#refill()
  }

  get received(): number {
    return this.#received[0]
  }

  /** No frame can come: the fill ring is empty. */
  get starved(): boolean {
    return this.#state[filledAt] === 0
  }

  ready(): number {
    const ring = this.#ring
    const shared = this.#framesPerBuffer > 1
    let descriptors = ring.available() || this.#look()
    if (shared && descriptors > 0) descriptors -= this.#passOver(descriptors)
    const most = this.#batch.slots.length
    let frames = 0
    for (let i = 0; i < descriptors && frames < most; i++) {
      const at = ring.at(i)
      if (!ring.more(at) && !(shared && ring.length(at) === 0)) frames++
    }
    // Descriptors without an end are a forgery, which receive() removes.
    return descriptors > 0 ? Math.max(1, frames) : 0
  }

  /** Frees the places that stayed unused, up to the first frame: by themselves they are nothing to wake for. */
  #passOver(descriptors: number): number {
    const ring = this.#ring
    const { slots, shift } = this.#table
    let unused = 0
    for (; unused < descriptors && ring.length(ring.at(unused)) === 0; unused++) {
      if (!slots.free(ring.address(ring.at(unused)) >>> shift, this.#holder)) this.invalid++
    }
    if (unused === 0) return 0
    ring.consume(unused)
    this.#state[filledAt] = Math.max(0, this.#state[filledAt] - unused)
    return unused
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || !this.starved) return count
    const { receive } = this.#port.syscalls
    if (this.#target === 0) throw verbsError('ENOTSUP', receive, 'the queue was opened with transmitOnly')
    throw verbsError(
      'ENOBUFS',
      receive,
      `none of the ${this.#table.slots.count} frames is free to receive into: release(), forward() or submit() some`,
    )
  }

  /** Descriptors in the receive ring, which was empty a moment ago, after a look for more. */
  #look(): number {
    this.#link.check(this.#port.syscalls.receive)
    const waiting = this.#ring.available()
    if (waiting > 0) return waiting
    this.#refill()
    return this.#checked(this.#port.poll())
  }

  /** {@link #look}, after hot code rang the bell and found nothing. */
  #polled(status: number): number {
    return this.#checked(this.#port.polled ? this.#port.polled(status) : status)
  }

  /** Throws the error of a negative status. */
  #checked(status: number): number {
    if (status >= 0) return status
    // The binding skipped one record (EFAULT), or needs this end's indices published again (ERANGE).
    const state = this.#state
    if (status === -EFAULT) state[filledAt] = Math.max(0, state[filledAt] - 1)
    if (status === -ERANGE) {
      this.#ring.consume(0)
      this.#fill.publish()
    }
    throw this.#link.failed(-status, this.#port.syscalls.receive)
  }

  /**
   * Takes frames from a descriptor on that hot code does not take: of a frame in several descriptors, of one that is longer
   * than its place, or forged.
   *
   * @param count frames in the batch so far
   * @param used descriptors that they took
   * @returns frames in the batch; the state holds the descriptors used
   */
  #rest(count: number, used: number, available: number): number {
    const ring = this.#ring
    const { shift, slots, records } = this.#table
    const { slots: batchSlots, offsets, lengths, flags } = this.#batch
    while (used < available && count < batchSlots.length) {
      const at = ring.at(used++)
      let address = ring.address(at)
      let index = address >>> shift
      // A place of a buffer that stayed unused.
      if (!this.#port.describes && ring.length(at) === 0 && slots.free(index, this.#holder)) continue
      let slot = slots.handOut(index, this.#holder)
      if (slot < 0) {
        this.invalid++
        continue
      }
      if (!this.#port.describes) {
        // Within the frame's place, whatever the ring contains.
        const room = (((index + 1) << shift) >>> 0) - address
        const told = ring.length(at)
        const length = Math.min(told, room)
        if (this.#spare.length > 0) {
          index = this.#copyOut(slot, address, length)
          address = index << shift
          slot = slots.handOut(index, this.#holder)
        }
        this.#table.describe(index, address, length)
        if (ring.more(at)) used = this.#gather(index, address, address + length, used, available)
        else if (told > room || this.#port.detail)
          this.#complete(index, address, length, told, ring.flags(at))
        else this.#table.mark(index, ring.flags(at))
        this.#port.detail?.(at, records, index * FrameRecord.words)
      }
      const record = index * FrameRecord.words
      batchSlots[count] = slot
      offsets[count] = records[record + FrameRecord.offset]
      lengths[count] = records[record + FrameRecord.length]
      flags[count] = records[record + FrameRecord.flags]
      count++
    }
    this.#state[usedAt] = used
    return count
  }

  /**
   * Copies a received frame to one of a buffer that is held back anyway, and frees its own.
   *
   * @returns the index of the copy, which is the holder's
   */
  #copyOut(slot: number, address: number, length: number): number {
    const { slots, shift } = this.#table
    const index = this.#spare.pop() as number
    this.#memory.copyWithin(index << shift, address, address + length)
    slots.release(slot)
    this.copied++
    if (this.#spare.length === 0) this.#state[copyingAt] = 0
    return index
  }

  /**
   * At the end of a sweep: when frames that callers keep hold a quarter of the buffers back, what comes is copied into these
   * buffers' other frames, so that its own buffer goes back to the device.
   */
  #swept(pinned: readonly number[]): void {
    const { slots } = this.#table
    const size = this.#framesPerBuffer
    const holder = this.#holder
    const spare = this.#spare
    for (const index of spare) slots.free(index, holder)
    spare.length = 0
    const buffers = Math.floor(slots.count / size)
    if (pinned.length * 4 >= buffers) {
      // What was received just now is not kept.
      const { slots: received, count } = this.#batch
      const fresh = new Set(Array.from(received.subarray(0, count[0]), (slot) => slots.indexOf(slot)))
      const kept = pinned.filter((first) => {
        for (let index = first; index < first + size; index++) {
          if (slots.isHeld(index) && !fresh.has(index)) return true
        }
        return false
      })
      if (kept.length * 4 >= buffers) {
        const most = this.#target >> 1
        for (const first of kept) slots.reserve(first, size, holder, most - spare.length, spare)
      }
    }
    this.#state[copyingAt] = spare.length > 0 ? 1 : 0
  }

  /**
   * Appends the rest of a frame. The kernel publishes a frame whole: one without an end is a forgery.
   *
   * @returns how many descriptors are then used up
   */
  #gather(index: number, from: number, end: number, used: number, available: number): number {
    const ring = this.#ring
    const { slots, shift } = this.#table
    let room = (((index + 1) << shift) >>> 0) - end
    let length = end - from
    let original = length
    for (let more = true; more && used < available; ) {
      const at = ring.at(used++)
      const address = ring.address(at)
      const told = ring.length(at)
      more = ring.more(at)
      if (!slots.free(address >>> shift, this.#holder)) {
        this.invalid++
        continue
      }
      const fits = Math.min(told, room, this.#memory.length - address)
      this.#memory.copyWithin(end, address, address + fits)
      end += fits
      room -= fits
      length += fits
      original += told
    }
    this.#complete(index, from, length, original)
    return used
  }

  #complete(index: number, from: number, length: number, original: number, flags = 0): void {
    const truncated = original > length
    if (truncated) this.truncated++
    const type = typeOf(this.#memory, from, this.#link.interface.macBytes)
    this.#table.complete(index, length, original, (type << 8) | flags | (truncated ? FrameFlag.truncated : 0))
  }

  /** Moves free frames into the fill ring, those of other threads too. */
  #refill(): void {
    const missing = this.#target - this.#state[filledAt]
    if (missing <= 0) return
    const { slots, shift } = this.#table
    const count =
      this.#framesPerBuffer > 1
        ? this.#lendBuffers(missing)
        : slots.lend(this.#fill, missing, this.#holder, shift)
    if (count === 0) return
    this.#state[filledAt] += count
    this.#fill.publish()
  }

  /** Moves whole buffers into the fill ring when a quarter of them is missing; returns how many frames they hold. */
  #lendBuffers(missing: number): number {
    if (missing * 4 < this.#target) return 0
    const { slots, shift } = this.#table
    const size = this.#framesPerBuffer
    const from = this.#sweep
    const frames = Math.max(framesPerSweep, size)
    const next = from + frames
    const pinned = this.#pinned
    // One that is used in part still takes a place of the fill ring.
    const most = Math.floor(missing / size)
    const lent = slots.lendBuffers(this.#fill, most, size, this.#holder, shift, from, frames, pinned)
    this.#sweep = next < slots.count ? next : 0
    if (this.#sweep === 0) {
      this.#swept(pinned)
      pinned.length = 0
    }
    return lent * size
  }
}

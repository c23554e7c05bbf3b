import { constants } from 'node:os'
import { rangeError, typeError } from '../argument.js'
import { verbsError } from '../errors.js'
import type { Consumer, Producer } from '../ring/ring.js'
import { FrameFlag, type FrameTable, typeOf } from './frames.js'
import type { Link } from './interface/link.js'
import type { Port, ReceivingEnd } from './port.js'

const { EFAULT, ERANGE } = constants.errno

/** Throws the error of an invalid index into the last batch. */
export function batchIndexError(i: unknown, count: number): never {
  if (typeof i !== 'number') throw typeError('i', 'a number', i)
  throw rangeError('i', `an index into the ${count} frames of the last receive()`, i)
}

/**
 * The receiving half of a queue, on any port: moves free frames from the pool into the fill ring, and received ones
 * from the receive ring to the caller.
 *
 * Each frame of the pool lends the device its first buffer. A longer frame lies in the first buffers of several frames;
 * the receiver copies the later parts behind the first, in that frame's own room, so that every frame is contiguous.
 */
export class Receiver implements ReceivingEnd {
  invalid = 0
  received = 0
  truncated = 0
  // For the declared fields see RingEnd in ring/ring.ts.
  declare private readonly port: Port
  declare private readonly link: Link
  declare private readonly table: FrameTable
  declare private readonly memory: Uint8Array
  declare private readonly holder: number
  declare private readonly target: number
  declare private readonly scarce: number
  declare private readonly describes: boolean
  declare private readonly slots: Int32Array
  declare private readonly ring: Consumer
  declare private readonly fill: Producer
  private filled = 0
  private count = 0

  /**
   * @param memory the arena
   * @param holder owns the frames in the fill ring (lib/ring/slots.ts)
   * @param slots receives the slots of a batch
   * @param target how many frames the fill ring holds; 0 for a queue that only transmits
   */
  constructor(
    port: Port,
    link: Link,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    slots: Int32Array,
    target: number,
  ) {
    this.port = port
    this.link = link
    this.table = table
    this.memory = memory
    this.holder = holder | 0
    this.slots = slots
    this.target = target | 0
    this.scarce = Math.min(port.scarce, target) | 0
    this.describes = port.describes
    this.ring = port.receive
    this.fill = port.fill
    this.#refill()
  }

  ready(): number {
    const { ring } = this
    const descriptors = this.#look()
    let frames = 0
    for (let i = 0; i < descriptors && frames < this.slots.length; i++) {
      if (!ring.more(ring.at(i))) frames++
    }
    // Descriptors without an end are a forgery, which receive() removes.
    return descriptors > 0 ? Math.max(1, frames) : 0
  }

  /** Descriptors in the receive ring, after a look for more when it is empty. */
  #look(): number {
    const waiting = this.ring.available()
    if (waiting > 0) return waiting
    const { receive } = this.port.syscalls
    this.link.check(receive)
    if (this.filled < this.target) this.#refill()
    const status = this.port.poll()
    if (status >= 0) return status
    // The binding skipped one record (EFAULT), or needs this end's indices published again (ERANGE).
    if (status === -EFAULT) this.filled = Math.max(0, this.filled - 1)
    if (status === -ERANGE) {
      this.ring.consume(0)
      this.fill.publish()
    }
    throw this.link.failed(-status, receive)
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || this.filled > 0) return count
    const { receive } = this.port.syscalls
    if (this.target === 0) throw verbsError('EOPNOTSUPP', receive, 'the queue was opened with transmitOnly')
    throw verbsError(
      'ENOBUFS',
      receive,
      `none of the ${this.table.slots.count} frames is free to receive into: release(), forward() or submit() some`,
    )
  }

  receive(): number {
    this.count = 0
    this.count = this.take(0)
    return this.count
  }

  /** No frame can come: the fill ring is empty. */
  get starved(): boolean {
    return this.filled === 0
  }

  /** {@link receive} into the batch's slots from `first` on; returns how many. */
  take(first: number): number {
    const available = this.#look()
    if (available === 0) return 0
    const { ring, table } = this
    const most = this.slots.length
    const some = Math.min(available, most - first)
    // Most frames lie in one buffer each; they are taken in one pass.
    let used = table.handOut(ring, some, this.holder, this.slots, first, this.describes)
    let count = first + used
    while (used < available && count < most) {
      const at = ring.at(used++)
      const address = ring.address(at)
      const index = address >>> table.shift
      const slot = table.slots.handOut(index, this.holder)
      if (slot < 0) {
        this.invalid++
        continue
      }
      if (!this.describes) {
        // Within the frame's place, whatever the ring contains.
        const room = (((index + 1) << table.shift) >>> 0) - address
        const length = Math.min(ring.length(at), room)
        table.describe(index, address, length)
        if (ring.more(at)) used = this.#gather(index, address, address + length, used, available)
      }
      this.slots[count++] = slot
    }
    ring.consume(used)
    this.filled = used < this.filled ? this.filled - used : 0
    this.received += count - first
    // A frame that arrives while the device has no free buffer is lost.
    if (this.filled < this.scarce && this.#refill() > 0) this.port.replenish?.()
    return count - first
  }

  slot(i: number): number {
    return i >= 0 && i < this.count && (i | 0) === i ? this.slots[i] : batchIndexError(i, this.count)
  }

  /**
   * Appends the rest of a frame. The kernel publishes a frame whole: one without an end is a forgery.
   *
   * @returns how many descriptors are then used up
   */
  #gather(index: number, from: number, end: number, used: number, available: number): number {
    const { ring } = this
    const { slots, shift } = this.table
    let room = (((index + 1) << shift) >>> 0) - end
    let length = end - from
    let original = length
    for (let more = true; more && used < available; ) {
      const at = ring.at(used++)
      const address = ring.address(at)
      const told = ring.length(at)
      more = ring.more(at)
      if (!slots.free(address >>> shift, this.holder)) {
        this.invalid++
        continue
      }
      const fits = Math.min(told, room, this.memory.length - address)
      this.memory.copyWithin(end, address, address + fits)
      end += fits
      room -= fits
      length += fits
      original += told
    }
    const truncated = original > length
    if (truncated) this.truncated++
    const type = typeOf(this.memory, from, this.link.interface.macBytes)
    this.table.complete(index, length, original, (type << 8) | (truncated ? FrameFlag.truncated : 0))
    return used
  }

  /** Moves free frames into the fill ring; returns how many. */
  #refill(): number {
    const missing = this.target - this.filled
    if (missing <= 0) return 0
    const { slots, shift } = this.table
    let count = slots.lend(this.fill, missing, this.holder, shift)
    if (count < missing && this.table.unprepare())
      count += slots.lend(this.fill, missing - count, this.holder, shift)
    if (count === 0) return 0
    this.filled += count
    this.fill.publish()
    return count
  }
}

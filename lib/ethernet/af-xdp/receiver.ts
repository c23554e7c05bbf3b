import { rangeError, typeError } from '../../argument.js'
import { verbsError } from '../../errors.js'
import { type Consumer, DescriptorRecord } from '../../ring/ring.js'
import { FrameFlag, type FrameTable, typeOf } from '../frames.js'
import type { Device } from '../interface/device.js'
import type { ReceivingEnd } from '../port.js'
import { DescriptorOption, type XdpPort } from './rings.js'

// Of this file's own: V8 folds them, but looks into an imported object each time.
const { address: addressWord, length: lengthWord, options: optionsWord } = DescriptorRecord
const { continued } = DescriptorOption

/** Throws what is wrong with an index into the last batch. */
export function batchIndexError(i: unknown, count: number): never {
  if (typeof i !== 'number') throw typeError('i', 'a number', i)
  throw rangeError('i', `an index into the ${count} frames of the last receive()`, i)
}

/**
 * The receiving half of a queue on AF_XDP: the kernel's fill ring and receive ring.
 *
 * Every frame of the pool lends the kernel its first buffer. A frame that needs more lies in the first buffers of
 * several; what follows the first is copied behind it, where its own room is, so that every frame is one stretch of
 * memory.
 */
export class XdpReceiver implements ReceivingEnd {
  invalid = 0
  declare private readonly port: XdpPort
  declare private readonly device: Device
  declare private readonly table: FrameTable
  declare private readonly memory: Uint8Array
  declare private readonly holder: number
  declare private readonly target: number
  declare private readonly slots: Int32Array
  declare private readonly ring: Consumer
  private filled = 0
  private count = 0

  /**
   * @param slots where the slots of a batch are put
   * @param target how many frames to keep in the fill ring; 0 for a queue that only transmits
   */
  constructor(
    port: XdpPort,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    slots: Int32Array,
    target: number,
  ) {
    this.port = port
    this.device = device
    this.table = table
    this.memory = memory
    this.holder = holder | 0
    this.target = target | 0
    this.slots = slots
    this.ring = port.receive
    this.#refill()
  }

  ready(): number {
    const { ring } = this
    const descriptors = this.#look()
    let frames = 0
    for (let i = 0; i < descriptors && frames < this.slots.length; i++) {
      if ((ring.words[ring.at(i) + optionsWord] & continued) === 0) frames++
    }
    // Descriptors without an end are somebody's forgery, which receive() will take away.
    return descriptors > 0 ? Math.max(1, frames) : 0
  }

  /** Descriptors in the receive ring. */
  #look(): number {
    const waiting = this.ring.available()
    if (waiting > 0) return waiting
    this.device.check(this.port.syscalls.receive)
    if (this.filled < this.target) this.#refill()
    const status = this.port.poll()
    if (status < 0) throw this.device.failed(-status, this.port.syscalls.receive)
    return status
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
    const { ring } = this
    const { words } = ring
    const table = this.table
    const { slots, shift } = table
    const most = this.slots.length
    const some = Math.min(available, most - first)
    // Most frames lie in one buffer each, and are taken together.
    let used = table.handOut(ring, some, this.holder, this.slots, first)
    let count = first + used
    while (used < available && count < most) {
      const at = ring.at(used++)
      const address = words[(at + addressWord) | 0]
      const index = address >>> shift
      const slot = slots.handOut(index, this.holder)
      if (slot < 0) {
        this.invalid++
        continue
      }
      // Never out of its place, whatever the ring says.
      const room = (((index + 1) << shift) >>> 0) - address
      const told = words[(at + lengthWord) | 0]
      const length = told < room ? told : room
      table.describe(index, address, length)
      if ((words[(at + optionsWord) | 0] & continued) !== 0) {
        used = this.#gather(index, address, address + length, used, available)
      }
      this.slots[count++] = slot
    }
    ring.consume(used)
    this.filled = Math.max(0, this.filled - used)
    this.port.received += count - first
    this.#refill()
    return count - first
  }

  slot(i: number): number {
    return i >= 0 && i < this.count && (i | 0) === i ? this.slots[i] : batchIndexError(i, this.count)
  }

  /**
   * Appends the rest of a frame. The kernel publishes a frame whole: one whose end is not there was written by
   * somebody else.
   *
   * @returns how many descriptors are used up then
   */
  #gather(index: number, from: number, end: number, used: number, available: number): number {
    const { ring } = this
    const { words } = ring
    const { slots, shift } = this.table
    let room = (((index + 1) << shift) >>> 0) - end
    let options: number = continued
    let length = end - from
    let original = length
    while ((options & continued) !== 0 && used < available) {
      const at = ring.at(used++)
      const address = words[(at + addressWord) | 0]
      const told = words[(at + lengthWord) | 0]
      options = words[(at + optionsWord) | 0]
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
    if (truncated) this.port.truncated++
    const type = typeOf(this.memory, from, this.device.interface.macBytes)
    this.table.complete(index, length, original, (type << 8) | (truncated ? FrameFlag.truncated : 0))
    return used
  }

  #refill(): void {
    const missing = this.target - this.filled
    if (missing <= 0) return
    const { fill } = this.port
    const { slots, shift } = this.table
    let count = slots.lend(fill, missing, this.holder, shift)
    if (count < missing && this.table.unprepare())
      count += slots.lend(fill, missing - count, this.holder, shift)
    if (count === 0) return
    this.filled += count
    fill.publish()
  }
}

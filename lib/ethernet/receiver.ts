import { constants } from 'node:os'
import { integer, rangeError, typeError } from '../argument.js'
import { verbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import type { Backend, ReceivingEnd } from './backend.js'
import type { Device } from './device.js'
import type { FrameTable } from './frames.js'

/** The receiving half of a queue: the fill ring and the receive ring. */
export class Receiver implements ReceivingEnd {
  invalid = 0
  readonly #backend: Backend
  readonly #device: Device
  readonly #table: FrameTable
  readonly #holder: number
  readonly #target: number
  readonly #slots: Uint32Array
  #filled = 0
  #count = 0

  /**
   * @param holder who has the frames in the fill ring (lib/ring/slots.ts)
   * @param target how many frames to keep in the fill ring; 0 for a queue that only transmits
   */
  constructor(
    backend: Backend,
    device: Device,
    table: FrameTable,
    holder: number,
    batch: number,
    target: number,
  ) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#holder = holder
    this.#target = target
    this.#slots = new Uint32Array(batch)
    this.#refill()
  }

  ready(): number {
    const waiting = this.#backend.receive.available()
    if (waiting > 0) return waiting
    this.#device.check(this.#backend.syscalls.receive)
    this.#refill()
    const status = this.#backend.poll()
    if (status >= 0) return status
    // The binding skipped one record (EFAULT), or wants to see our indices again (ERANGE).
    if (status === -constants.errno.EFAULT) this.#filled = Math.max(0, this.#filled - 1)
    if (status === -constants.errno.ERANGE) this.#backend.receive.consume(0)
    throw this.#device.failed(-status, this.#backend.syscalls.receive)
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || this.#filled > 0) return count
    if (this.#target === 0)
      throw verbsError('EOPNOTSUPP', this.#backend.syscalls.receive, 'the queue was opened with transmitOnly')
    throw verbsError(
      'ENOBUFS',
      this.#backend.syscalls.receive,
      `none of the ${this.#table.slots.count} frames is free to receive into: release(), forward() or submit() some`,
    )
  }

  receive(): number {
    const n = Math.min(this.ready(), this.#slots.length)
    const ring = this.#backend.receive
    let count = 0
    for (let i = 0; i < n; i++) {
      const index = ring.words[ring.at(i) + DescriptorRecord.address] >>> this.#table.shift
      const slot = this.#table.slots.handOut(index, this.#holder)
      if (slot >= 0) this.#slots[count++] = slot
      else this.invalid++
    }
    if (n > 0) ring.consume(n)
    this.#filled = Math.max(0, this.#filled - n)
    this.#count = count
    return count
  }

  slot(i: number): number {
    if (typeof i !== 'number') throw typeError('i', 'a number', i)
    if (i >= 0 && i < this.#count) return this.#slots[i] ?? integer('i', i)
    throw rangeError('i', `an index into the ${this.#count} frames of the last receive()`, i)
  }

  #refill(): void {
    const ring = this.#backend.fill
    while (this.#filled < this.#target) {
      const index = this.#table.take(this.#holder)
      if (index < 0) break
      const at = ring.push()
      ring.words[at + AddressRecord.address] = index << this.#table.shift
      ring.words[at + AddressRecord.status] = 0
      this.#filled++
    }
    ring.publish()
  }
}

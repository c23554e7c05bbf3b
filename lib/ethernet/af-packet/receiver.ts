import { constants } from 'node:os'
import { integer, rangeError, typeError } from '../../argument.js'
import { verbsError } from '../../errors.js'
import { AddressRecord, DescriptorRecord } from '../../ring/ring.js'
import type { FrameTable } from '../frames.js'
import type { Device } from '../interface/device.js'
import type { Backend, ReceivingEnd } from '../port.js'

// Of this file's own: V8 folds them, but looks into an imported object each time.
const { address: frameWord, status: statusWord } = AddressRecord
const { address: addressWord } = DescriptorRecord
const { EFAULT, ERANGE } = constants.errno

/** The receiving half of a queue: the fill ring and the receive ring, with the binding at their other ends. */
export class Receiver implements ReceivingEnd {
  invalid = 0
  declare private readonly backend: Backend
  declare private readonly device: Device
  declare private readonly table: FrameTable
  declare private readonly holder: number
  declare private readonly target: number
  declare private readonly slots: Int32Array
  private filled = 0
  private count = 0

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
    this.backend = backend
    this.device = device
    this.table = table
    this.holder = holder | 0
    this.target = target | 0
    this.slots = new Int32Array(batch)
    this.refill()
  }

  ready(): number {
    const waiting = this.backend.receive.availableHere()
    if (waiting > 0) return waiting
    this.device.check(this.backend.syscalls.receive)
    if (this.filled < this.target) this.refill()
    const status = this.backend.poll()
    if (status >= 0) return status
    // The binding skipped one record (EFAULT), or wants to see our indices again (ERANGE).
    if (status === -EFAULT) this.filled = Math.max(0, this.filled - 1)
    if (status === -ERANGE) {
      this.backend.receive.consumeHere(0)
      this.backend.fill.publishHere()
    }
    throw this.device.failed(-status, this.backend.syscalls.receive)
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || this.filled > 0) return count
    const { receive } = this.backend.syscalls
    if (this.target === 0) throw verbsError('EOPNOTSUPP', receive, 'the queue was opened with transmitOnly')
    throw verbsError(
      'ENOBUFS',
      receive,
      `none of the ${this.table.slots.count} frames is free to receive into: release(), forward() or submit() some`,
    )
  }

  receive(): number {
    const ready = this.ready()
    if (ready === 0) {
      this.count = 0
      return 0
    }
    const { slots, holder } = this
    const ring = this.backend.receive
    const { words } = ring
    const { slots: pool, shift } = this.table
    const n = ready < slots.length ? ready : slots.length
    let count = 0
    for (let i = 0; i < n; i++) {
      const index = words[(ring.at(i) + addressWord) | 0] >>> shift
      const slot = pool.handOut(index, holder)
      if (slot >= 0) slots[count++] = slot
      else this.invalid++
    }
    ring.consumeHere(n)
    this.filled = n < this.filled ? this.filled - n : 0
    this.count = count
    return count
  }

  slot(i: number): number {
    if (typeof i !== 'number') throw typeError('i', 'a number', i)
    if (i >= 0 && i < this.count) return this.slots[i] ?? integer('i', i)
    throw rangeError('i', `an index into the ${this.count} frames of the last receive()`, i)
  }

  private refill(): void {
    const ring = this.backend.fill
    const { words } = ring
    const { shift } = this.table
    while (this.filled < this.target) {
      const index = this.table.take(this.holder)
      if (index < 0) break
      const at = ring.push()
      words[(at + frameWord) | 0] = index << shift
      words[(at + statusWord) | 0] = 0
      this.filled++
    }
    ring.publishHere()
  }
}

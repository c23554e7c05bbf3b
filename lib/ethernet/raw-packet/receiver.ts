import { constants } from 'node:os'
import { integer, rangeError, typeError } from '../../argument.js'
import { verbsError } from '../../errors.js'
import { type Consumer, DescriptorRecord } from '../../ring/ring.js'
import type { FrameTable } from '../frames.js'
import type { Device } from '../interface/device.js'
import type { ReceivingEnd } from '../port.js'
import type { RawPacket } from './port.js'

const { EFAULT, ERANGE } = constants.errno
// Of this file's own: V8 folds it, but looks into an imported object each time.
const { address: addressWord } = DescriptorRecord

/** The receiving half of a queue on a raw packet queue pair. */
export class RawReceiver implements ReceivingEnd {
  invalid = 0
  // Fields as ring/ring.ts says.
  declare private readonly backend: RawPacket
  declare private readonly ring: Consumer
  declare private readonly device: Device
  declare private readonly table: FrameTable
  declare private readonly holder: number
  declare private readonly target: number
  declare private readonly enough: number
  declare private readonly slots: Int32Array
  private filled = 0
  private count = 0

  /**
   * @param holder who has the frames that the device may write to (lib/ring/slots.ts)
   * @param target how many frames to keep with the device; 0 for a queue that only transmits
   */
  constructor(
    backend: RawPacket,
    device: Device,
    table: FrameTable,
    holder: number,
    batch: number,
    target: number,
  ) {
    this.backend = backend
    this.ring = backend.receive
    this.device = device
    this.table = table
    this.holder = holder | 0
    this.target = target | 0
    this.enough = (target - (target >> 3)) | 0
    this.slots = new Int32Array(batch)
    this.#refill()
  }

  ready(): number {
    const waiting = this.ring.available()
    if (waiting > 0) return waiting
    this.#refill()
    const status = this.backend.poll()
    if (status >= 0) return status
    // The binding skipped one record, or wants to see our indices again.
    if (status === -EFAULT) this.filled = Math.max(0, this.filled - 1)
    if (status === -ERANGE) {
      this.backend.fill.publish()
      this.ring.consume(0)
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
    this.count = 0
    const n = this.ready()
    if (n === 0) return 0
    const { ring, table, holder } = this
    const { words } = ring
    const { slots, shift } = table
    const most = Math.min(n, this.slots.length)
    let count = 0
    for (let i = 0; i < most; i++) {
      const slot = slots.handOut(words[(ring.at(i) + addressWord) | 0] >>> shift, holder)
      if (slot >= 0) this.slots[count++] = slot
      else this.invalid++
    }
    ring.consume(most)
    this.filled = Math.max(0, this.filled - most)
    this.count = count
    // What comes while the device has no frame is lost. The next look brings it new ones, which is soon enough unless
    // they are few.
    if (this.filled < this.enough && this.#refill() > 0) this.backend.replenish()
    return count
  }

  slot(i: number): number {
    if (typeof i !== 'number') throw typeError('i', 'a number', i)
    if (i >= 0 && i < this.count) return this.slots[i] ?? integer('i', i)
    throw rangeError('i', `an index into the ${this.count} frames of the last receive()`, i)
  }

  /** Frames into the fill ring, for the binding's next look; returns how many. */
  #refill(): number {
    const wanted = this.target - this.filled
    if (wanted <= 0) return 0
    const { slots, shift } = this.table
    const ring = this.backend.fill
    let lent = slots.lend(ring, wanted, this.holder, shift)
    if (lent === 0 && this.table.unprepare()) lent = slots.lend(ring, wanted, this.holder, shift)
    if (lent > 0) ring.publish()
    this.filled += lent
    return lent
  }
}

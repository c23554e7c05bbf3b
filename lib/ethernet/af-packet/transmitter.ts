import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { VerbsError } from '../../errors.js'
import { AddressRecord, DescriptorRecord, type Producer } from '../../ring/ring.js'
import { FrameRecord, type FrameTable } from '../frames.js'
import type { Device } from '../interface/device.js'
import { offloadsOf } from '../offload.js'
import type { Backend, TransmittingEnd } from '../port.js'

const { EAGAIN, ENOBUFS } = constants.errno
/** Between two looks at what became of the link, beside what the event loop tells, there are so many submits and one. */
const submitMask = 255

// Of this file's own: V8 folds them, but looks into an imported object each time.
const {
  address: addressWord,
  addressHigh: addressHighWord,
  length: lengthWord,
  options: optionsWord,
} = DescriptorRecord
const { address: frameWord, status: statusWord } = AddressRecord
const recordShift = Math.log2(FrameRecord.words) | 0
const { offset: offsetOfFrame, length: lengthOfFrame } = FrameRecord

/** The transmitting half of a queue: the transmit ring and the completion ring. */
export class Transmitter implements TransmittingEnd {
  error: VerbsError | null = null
  congested = false
  pending = 0
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  /** Records in the completion ring that named no frame of ours. */
  invalid = 0
  declare private readonly backend: Backend
  declare private readonly ring: Producer
  declare private readonly device: Device
  declare private readonly table: FrameTable
  declare private readonly holder: number
  private submits = 0

  /** @param holder who has the frames that are pending (lib/ring/slots.ts) */
  constructor(backend: Backend, device: Device, table: FrameTable, holder: number) {
    this.backend = backend
    this.ring = backend.transmit
    this.device = device
    this.table = table
    this.holder = holder | 0
  }

  claim(): number {
    return this.table.claim()
  }

  sendAt(slot: number, length: number, offset: number): void {
    this.table.move(slot, offset)
    this.send(slot, length)
  }

  send(slot: number, length: number): void {
    this.push(this.table.check(slot, length), length, 0)
  }

  offload(slot: number): void {
    const index = this.table.slots.index(slot)
    const length = this.table.records[index * FrameRecord.words + FrameRecord.length]
    this.push(this.table.check(slot, length), length, offloadsOf(this.table, index))
  }

  private push(index: number, length: number, options: number): void {
    const { table, ring } = this
    const { words } = ring
    const record = index << recordShift
    const at = ring.push()
    table.records[record | lengthOfFrame] = length
    words[(at + addressWord) | 0] = table.records[record | offsetOfFrame]
    words[(at + addressHighWord) | 0] = 0
    words[(at + lengthWord) | 0] = length
    words[(at + optionsWord) | 0] = options
    table.slots.hold(index, this.holder)
    this.pending++
  }

  submit(): number {
    this.error = null
    this.congested = false
    if (this.pending === 0) return 0
    this.submits = (this.submits + 1) & submitMask
    if (this.submits === 0) this.device.look()
    if (this.device.stuck && !this.ready()) return 0
    this.ring.publishHere()
    const status = this.backend.kick()
    const { completion } = this.backend
    const { words } = completion
    const { slots, shift } = this.table
    const n = completion.availableHere()
    let refused = -1
    let accepted = 0
    for (let i = 0; i < n; i++) {
      const at = completion.at(i)
      const index = words[(at + frameWord) | 0] >>> shift
      if (!slots.free(index, this.holder)) this.invalid++
      else if (words[(at + statusWord) | 0] === 0) accepted++
      else refused = this.refuse(index, words[(at + statusWord) | 0])
    }
    completion.consumeHere(n)
    this.pending = n < this.pending ? this.pending - n : 0
    this.transmitted += accepted
    if (status < 0 && status !== -EAGAIN) this.stopped(status, Math.max(0, refused))
    return accepted
  }

  private stopped(status: number, refused: number): void {
    const { transmit } = this.backend.syscalls
    // The device's queue is full, or there is no carrier.
    this.congested = status === -ENOBUFS && this.device.carries()
    if (!this.congested) this.error = this.device.failed(-status, transmit, refused)
  }

  /** Whether frames go out; else why not. */
  private ready(): boolean {
    if (this.device.ready(this.backend.syscalls.transmit)) return true
    this.error = this.device.obstacle
    this.congested = this.error === null
    return false
  }

  /** Counts a frame that was refused; its length. */
  private refuse(index: number, errno: number): number {
    const name = getSystemErrorName(-errno)
    this.refusals[name] = (this.refusals[name] ?? 0) + 1
    return this.table.records[(index << recordShift) | lengthOfFrame]
  }

  close(): void {
    this.pending = 0
  }
}

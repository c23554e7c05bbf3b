import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { VerbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import type { Backend, TransmittingEnd } from './backend.js'
import type { Device } from './device.js'
import { FrameRecord, type FrameTable } from './frames.js'
import { offloadsOf } from './offload.js'

/** The transmitting half of a queue: the transmit ring and the completion ring. */
export class Transmitter implements TransmittingEnd {
  error: VerbsError | null = null
  pending = 0
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  /** Records in the completion ring that named no frame of ours. */
  invalid = 0
  readonly #backend: Backend
  readonly #device: Device
  readonly #table: FrameTable
  readonly #holder: number

  /** @param holder who has the frames that are pending (lib/ring/slots.ts) */
  constructor(backend: Backend, device: Device, table: FrameTable, holder: number) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#holder = holder
  }

  claim(): number {
    return this.#table.claim()
  }

  sendAt(slot: number, length: number, offset: number): void {
    this.#table.move(slot, offset)
    this.send(slot, length)
  }

  send(slot: number, length: number): void {
    this.#push(this.#table.check(slot, length), length, 0)
  }

  offload(slot: number): void {
    const index = this.#table.slots.index(slot)
    const length = this.#table.records[index * FrameRecord.words + FrameRecord.length]
    this.#push(this.#table.check(slot, length), length, offloadsOf(this.#table, index))
  }

  #push(index: number, length: number, options: number): void {
    const record = index * FrameRecord.words
    this.#table.records[record + FrameRecord.length] = length
    const ring = this.#backend.transmit
    const at = ring.push()
    ring.words[at + DescriptorRecord.address] = this.#table.records[record + FrameRecord.offset]
    ring.words[at + DescriptorRecord.addressHigh] = 0
    ring.words[at + DescriptorRecord.length] = length
    ring.words[at + DescriptorRecord.options] = options
    this.#table.slots.hold(index, this.#holder)
    this.pending++
  }

  submit(): number {
    this.error = null
    if (this.pending === 0) return 0
    const { transmit, completion } = this.#backend
    transmit.publish()
    const status = this.#backend.kick()
    let refused = -1
    let accepted = 0
    const n = completion.available()
    for (let i = 0; i < n; i++) {
      const at = completion.at(i)
      const index = completion.words[at + AddressRecord.address] >>> this.#table.shift
      if (!this.#table.slots.free(index, this.#holder)) this.invalid++
      else if (completion.words[at + AddressRecord.status] === 0) accepted++
      else {
        refused = index
        const error = getSystemErrorName(-completion.words[at + AddressRecord.status])
        this.refusals[error] = (this.refusals[error] ?? 0) + 1
      }
    }
    completion.consume(n)
    this.pending = Math.max(0, this.pending - n)
    this.transmitted += accepted
    if (status < 0 && status !== -constants.errno.EAGAIN) {
      const length = refused < 0 ? 0 : this.#table.records[refused * FrameRecord.words + FrameRecord.length]
      this.error = this.#device.failed(-status, this.#backend.syscalls.transmit, length)
    }
    return accepted
  }

  close(): void {
    this.pending = 0
  }
}

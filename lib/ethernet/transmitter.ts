import { constants } from 'node:os'
import { integer } from '../argument.js'
import type { VerbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import type { Backend } from './backend.js'
import type { Device } from './device.js'
import { FrameRecord, type FrameTable } from './frames.js'

const headerBytes = 14

/** The transmitting half of a queue: the transmit ring and the completion ring. */
export class Transmitter {
  error: VerbsError | null = null
  pending = 0
  transmitted = 0
  refused = 0
  /** Records in the completion ring that named no frame of ours. */
  invalid = 0
  readonly #backend: Backend
  readonly #device: Device
  readonly #table: FrameTable
  readonly #holder: number
  readonly #frameSize: number
  readonly #headroom: number

  /** @param holder who has the frames that are pending (lib/ring/slots.ts) */
  constructor(backend: Backend, device: Device, table: FrameTable, holder: number, headroom: number) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#holder = holder
    this.#frameSize = 2 ** table.shift
    this.#headroom = headroom
  }

  claim(): number {
    const { slots, records } = this.#table
    const index = slots.take(this.#holder)
    if (index < 0) return -1
    const record = index * FrameRecord.words
    records[record + FrameRecord.offset] = index * this.#frameSize + this.#headroom
    // Not fill(), which costs ten times as much for so few words.
    for (let word = FrameRecord.length; word < FrameRecord.words; word++) records[record + word] = 0
    return slots.handOut(index, this.#holder)
  }

  send(slot: number, length: number, offset: number | undefined): void {
    const { slots, records } = this.#table
    const index = slots.index(slot)
    const record = index * FrameRecord.words
    const from = offset === undefined ? records[record + FrameRecord.offset] : offset
    const start = index * this.#frameSize
    const end = start + this.#frameSize
    if (!Number.isInteger(from) || from < start || from > end - headerBytes) {
      integer('offset', from, start, end - headerBytes)
    }
    if (!Number.isInteger(length) || length < headerBytes || length > end - from) {
      integer('length', length, headerBytes, end - from)
    }
    records[record + FrameRecord.offset] = from
    records[record + FrameRecord.length] = length
    const ring = this.#backend.transmit
    const at = ring.push()
    ring.words[at + DescriptorRecord.address] = from
    ring.words[at + DescriptorRecord.addressHigh] = 0
    ring.words[at + DescriptorRecord.length] = length
    ring.words[at + DescriptorRecord.options] = 0
    slots.hold(index, this.#holder)
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
      else refused = index
    }
    completion.consume(n)
    this.pending = Math.max(0, this.pending - n)
    this.transmitted += accepted
    if (refused >= 0) this.refused++
    if (status < 0 && status !== -constants.errno.EAGAIN) {
      const length = refused < 0 ? 0 : this.#table.records[refused * FrameRecord.words + FrameRecord.length]
      this.error = this.#device.failed(-status, 'sendmmsg', length)
    }
    return accepted
  }
}

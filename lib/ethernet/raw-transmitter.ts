import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { VerbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import type { Backend, TransmittingEnd } from './backend.js'
import type { Device } from './device.js'
import { FrameRecord, type FrameTable } from './frames.js'
import { finishFrame, offloadsOf, segmentTypeOf } from './offload.js'

const { EAGAIN, EIO } = constants.errno

/**
 * The transmitting half of a queue on a raw packet queue pair. A frame is accepted when the device has its request, and
 * free when the device has sent it: the completion ring says so.
 */
export class RawTransmitter implements TransmittingEnd {
  error: VerbsError | null = null
  pending = 0
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  invalid = 0
  readonly #backend: Backend
  readonly #device: Device
  readonly #table: FrameTable
  readonly #holder: number
  readonly #memory: Uint8Array
  readonly #checksums: boolean
  /** Accepted since the last {@link submit} returned. */
  #accepted = 0
  /** Length of the frame that the last exchange refused for its own sake. */
  #refused = 0

  /**
   * @param holder who has the frames that are pending, and those that the device has (lib/ring/slots.ts)
   * @param memory the arena
   * @param checksums whether the device computes checksums
   */
  constructor(
    backend: Backend,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    checksums: boolean,
  ) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#holder = holder
    this.#memory = memory
    this.#checksums = checksums
  }

  claim(): number {
    const slot = this.#table.claim()
    if (slot >= 0) return slot
    this.#exchange()
    return this.#table.claim()
  }

  sendAt(slot: number, length: number, offset: number): void {
    this.#table.move(slot, offset)
    this.send(slot, length)
  }

  send(slot: number, length: number): void {
    this.#push(this.#table.check(slot, length), length, 0)
  }

  /** The device computes the checksum of UDP and TCP, where it knows them; whatever else is done here. */
  offload(slot: number): void {
    const { slots, records } = this.#table
    const index = slots.index(slot)
    const record = index * FrameRecord.words
    const place = records[record + FrameRecord.checksum] & 0xffff
    const plain =
      offloadsOf(this.#table, index) === 1 && segmentTypeOf(records[record + FrameRecord.flags]) === 0
    const devices = this.#checksums && plain && (place === 6 || place === 16)
    if (!devices) finishFrame(this.#table, this.#memory, index)
    const length = records[record + FrameRecord.length]
    this.#push(this.#table.check(slot, length), length, devices ? 1 : 0)
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
    this.#backend.transmit.publish()
    const status = this.#exchange()
    if (status < 0 && status !== -EAGAIN) {
      this.error = this.#device.failed(-status, this.#backend.syscalls.transmit, this.#refused)
    }
    const accepted = this.#accepted
    this.#accepted = 0
    return accepted
  }

  close(): void {
    this.pending = 0
  }

  /** One call into the binding: posts what was published, takes back what the device is done with. */
  #exchange(): number {
    const { transmit, completion } = this.#backend
    const { slots, shift, records } = this.#table
    const before = transmit.outstanding()
    const status = this.#backend.kick()
    let taken = Math.max(0, Math.min(this.pending, before - transmit.outstanding()))
    this.pending -= taken
    const count = completion.available()
    for (let i = 0; i < count; i++) {
      const at = completion.at(i)
      const index = completion.words[at + AddressRecord.address] >>> shift
      const errno = completion.words[at + AddressRecord.status]
      if (!slots.free(index, this.#holder)) {
        this.invalid++
      } else if (errno !== 0) {
        const name = getSystemErrorName(-errno)
        this.refusals[name] = (this.refusals[name] ?? 0) + 1
        this.#refused = records[index * FrameRecord.words + FrameRecord.length]
        // Refused at the door; EIO is of a frame that was accepted, by a device that then failed.
        if (errno === EIO) this.transmitted--
        else taken--
      }
    }
    if (count > 0) completion.consume(count)
    this.#accepted += taken
    this.transmitted += taken
    return status
  }
}

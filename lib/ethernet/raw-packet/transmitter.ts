import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { VerbsError } from '../../errors.js'
import { AddressRecord, DescriptorRecord, type Producer } from '../../ring/ring.js'
import { FrameRecord, type FrameTable } from '../frames.js'
import type { Device } from '../interface/device.js'
import { finishFrame, offloadsOf, segmentTypeOf } from '../offload.js'
import type { TransmittingEnd } from '../port.js'
import type { RawPacket } from './port.js'

const { EAGAIN, EIO, ERANGE } = constants.errno

// Of this file's own: V8 folds them, but looks into an imported object each time.
const { address: addressWord, length: lengthWord, options: optionsWord } = DescriptorRecord
const recordShift = Math.log2(FrameRecord.words) | 0
const { offset: frameOffset, length: frameLength } = FrameRecord

/**
 * The transmitting half of a queue on a raw packet queue pair. A frame is accepted when the device has its request, and
 * free when the device has sent it: the completion ring says so.
 */
export class RawTransmitter implements TransmittingEnd {
  error: VerbsError | null = null
  readonly congested = false
  pending = 0
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  invalid = 0
  // Fields as ring/ring.ts says.
  declare private readonly backend: RawPacket
  declare private readonly ring: Producer
  declare private readonly device: Device
  declare private readonly table: FrameTable
  declare private readonly memory: Uint8Array
  declare private readonly holder: number
  declare private readonly checksums: boolean
  /** Accepted since the last {@link submit} returned. */
  private accepted = 0
  /** Length of the frame that the last exchange refused for its own sake. */
  private refused = 0

  /**
   * @param holder who has the frames that are pending, and those that the device has (lib/ring/slots.ts)
   * @param memory the arena
   * @param checksums whether the device computes checksums
   */
  constructor(
    backend: RawPacket,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    checksums: boolean,
  ) {
    this.backend = backend
    this.ring = backend.transmit
    this.device = device
    this.table = table
    this.memory = memory
    this.holder = holder | 0
    this.checksums = checksums
  }

  claim(): number {
    const slot = this.table.claim()
    if (slot >= 0) return slot
    this.#exchange()
    return this.table.claim()
  }

  sendAt(slot: number, length: number, offset: number): void {
    this.table.move(slot, offset)
    this.send(slot, length)
  }

  send(slot: number, length: number): void {
    this.#push(this.table.check(slot, length), length, 0)
  }

  /** The device computes the checksum of UDP and TCP, where it knows them; whatever else is done here. */
  offload(slot: number): void {
    const { slots, records } = this.table
    const index = slots.index(slot)
    const record = index * FrameRecord.words
    const place = records[record + FrameRecord.checksum] & 0xffff
    const plain =
      offloadsOf(this.table, index) === 1 && segmentTypeOf(records[record + FrameRecord.flags]) === 0
    const devices = this.checksums && plain && (place === 6 || place === 16)
    if (!devices) finishFrame(this.table, this.memory, index)
    const length = records[record + FrameRecord.length]
    this.#push(this.table.check(slot, length), length, devices ? 1 : 0)
  }

  #push(index: number, length: number, options: number): void {
    const { table, ring } = this
    const record = index << recordShift
    table.records[record | frameLength] = length
    const { words } = ring
    const at = ring.push()
    words[(at + addressWord) | 0] = table.records[record | frameOffset]
    words[(at + lengthWord) | 0] = length
    words[(at + optionsWord) | 0] = options
    table.slots.hold(index, this.holder)
    this.pending++
  }

  submit(): number {
    this.error = null
    if (this.device.stuck && this.pending > 0 && !this.device.ready(this.backend.syscalls.transmit)) {
      this.error = this.device.obstacle
      return 0
    }
    this.backend.transmit.publish()
    const status = this.#exchange()
    if (status < 0 && status !== -EAGAIN) {
      this.error = this.device.failed(-status, this.backend.syscalls.transmit, this.refused)
    }
    const { accepted } = this
    this.accepted = 0
    return accepted
  }

  close(): void {
    this.pending = 0
  }

  /** One call into the binding: posts what was published, takes back what the device is done with. */
  #exchange(): number {
    const { ring, table, backend } = this
    const { completion } = backend
    const status = backend.kick()
    // More than there were: somebody wrote the consumer's index, and the binding will again.
    const left = Math.min(this.pending, ring.outstanding())
    let taken = this.pending - left
    this.pending = left
    if (status === -ERANGE) completion.consume(0)
    const count = completion.available()
    if (count > 0) {
      // Statuses are rare: frames with one are looked at first, and then all are given back at once.
      if (status < 0 || backend.failing) taken -= this.#refusals(count)
      this.invalid += table.slots.recover(completion, count, this.holder, table.shift)
      completion.consume(count)
    }
    this.accepted += taken
    this.transmitted += taken
    return status
  }

  /** Counts what was refused among so many records; returns how many of them were never accepted. */
  #refusals(count: number): number {
    const { completion } = this.backend
    const { shift, records, slots } = this.table
    let refused = 0
    for (let i = 0; i < count; i++) {
      const at = completion.at(i)
      const errno = completion.words[at + AddressRecord.status]
      const index = completion.words[at + AddressRecord.address] >>> shift
      if (errno === 0 || index >= slots.count) continue
      const name = getSystemErrorName(-errno)
      this.refusals[name] = (this.refusals[name] ?? 0) + 1
      this.refused = records[index * FrameRecord.words + FrameRecord.length]
      // EIO is of a frame that was accepted, by a device that then failed.
      if (errno === EIO) this.transmitted--
      else refused++
    }
    return refused
  }
}

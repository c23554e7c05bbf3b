import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { VerbsError } from '../errors.js'
import { type Consumer, DescriptorOption, DescriptorRecord, type Producer } from '../ring/ring.js'
import { FrameRecord, type FrameTable } from './frames.js'
import type { Link } from './interface/link.js'
import { finishFrame } from './offload.js'
import type { Port, TransmittingEnd } from './port.js'

const { EAGAIN, EIO, EMSGSIZE, ENOBUFS, ERANGE } = constants.errno
/** The link is checked once in this many submits plus one, and when the event loop reports a change. */
const submitMask = 255
const tagBytes = 4

// Constants local to this file: V8 folds them, but loads an imported object's field at each use.
const {
  address: addressWord,
  addressHigh: addressHighWord,
  length: lengthWord,
  options: optionsWord,
} = DescriptorRecord
const { continued } = DescriptorOption

const recordShift = Math.log2(FrameRecord.words) | 0
const { offset: offsetOfFrame, length: lengthOfFrame } = FrameRecord

/**
 * The transmitting half of a queue, on any port: moves frames from the caller into the transmit ring, and frees them
 * from the completion ring.
 *
 * send() puts a frame into the ring, and the next submit hands the ring over to the device. Three kinds of frame are
 * staged until that submit, with all frames after them: one that finds the ring full, one that is longer than a
 * device's buffer and leaves from where it lies by several descriptors, and one that is longer than the interface
 * accepts.
 */
export class Transmitter implements TransmittingEnd {
  error: VerbsError | null = null
  congested = false
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  invalid = 0
  // For the declared fields see RingEnd in ring/ring.ts.
  declare private readonly port: Port
  declare private readonly ring: Producer
  declare private readonly completion: Consumer
  declare private readonly link: Link
  declare private readonly table: FrameTable
  declare private readonly memory: Uint8Array
  declare private readonly holder: number
  declare private readonly capacity: number
  declare private readonly chunkSize: number
  /** log2 of the chunk size */
  declare private readonly chunkShift: number
  /** Every frame fits into one of the device's buffers. */
  declare private readonly whole: boolean
  /** Frames that were sent and are not in the ring yet, first in first out. */
  declare private readonly staged: Uint32Array
  declare private readonly stagedMask: number
  private stagedFirst = 0
  private stagedCount = 0
  /** By place in the transmit ring: whether the descriptor continues in the next one. */
  declare private readonly continued: Uint8Array
  /** How many of the descriptors that the device has not taken continue. */
  private continuations = 0
  /** How many frames may still go straight into the ring. */
  private room = 0
  private submits = 0
  /** The device's count of dropped frames at the last look. */
  private dropped = 0
  /** How far the device had taken descriptors out of the ring at the last look. */
  private taken = 0
  /** Frames accepted since the last {@link submit} returned: a claim kicks, too. */
  private accepted = 0
  /** Length of the frame that the last kick refused. */
  private refusedLength = 0

  /**
   * @param memory the arena
   * @param holder owns the frames that are pending or under way (lib/ring/slots.ts)
   */
  constructor(port: Port, link: Link, table: FrameTable, memory: Uint8Array, holder: number) {
    this.port = port
    this.ring = port.transmit
    this.completion = port.completion
    this.link = link
    this.table = table
    this.memory = memory
    this.holder = holder | 0
    this.capacity = port.transmit.layout.capacity | 0
    this.chunkSize = port.chunkSize | 0
    this.chunkShift = Math.log2(port.chunkSize) | 0
    this.whole = this.chunkShift === table.shift
    const capacity = 1 << Math.ceil(Math.log2(table.slots.count))
    this.staged = new Uint32Array(capacity)
    this.stagedMask = capacity - 1
    this.continued = new Uint8Array(this.capacity)
    this.#open()
  }

  get pending(): number {
    return this.stagedCount + this.descriptors() - this.continuations
  }

  /** Descriptors in the ring that the device has not taken. */
  private descriptors(): number {
    return this.ring.pushed(this.taken)
  }

  claim(): number {
    const slot = this.table.claim()
    if (slot >= 0) return slot
    this.#reap(this.port.completesOnKick ? this.#kick() : 0)
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
    const { table } = this
    const index = table.slots.index(slot)
    let options = this.port.offload ? this.port.offload(table, index) : -1
    if (options < 0) {
      finishFrame(table, this.memory, index)
      options = 0
    }
    const length = table.records[(index << recordShift) | lengthOfFrame]
    this.push(table.check(slot, length), length, options)
  }

  private push(index: number, length: number, options: number): void {
    const { table } = this
    const record = index << recordShift
    table.slots.hold(index, this.holder)
    const from = table.records[record | offsetOfFrame]
    if (this.room > 0 && length <= this.port.longest) {
      this.room--
      // The error that refuses the frame names its length.
      table.records[record | lengthOfFrame] = length
      const { ring } = this
      const { words } = ring
      const at = ring.push()
      words[(at + addressWord) | 0] = from
      words[(at + addressHighWord) | 0] = 0
      words[(at + lengthWord) | 0] = length
      words[(at + optionsWord) | 0] = options
    } else {
      this.room = 0
      table.describe(index, from, length)
      this.staged[(this.stagedFirst + this.stagedCount++) & this.stagedMask] = index
    }
  }

  submit(): number {
    this.error = null
    this.congested = false
    if (this.descriptors() === 0 && this.stagedCount === 0) return this.#idle()
    this.submits = (this.submits + 1) & submitMask
    if (this.submits === 0) this.link.look()
    if (this.link.stuck && !this.#ready()) return 0
    let status: number
    let refused: number
    // Repeats while the ring, and not the device, was out of room.
    do {
      refused = this.stagedCount > 0 ? this.#push() : -1
      this.ring.publish()
      status = this.descriptors() === 0 ? 0 : this.#kick(true)
    } while (status === 0 && refused < 0 && this.stagedCount > 0 && this.descriptors() === 0)
    this.#reap(status)
    if (this.port.dropped > this.dropped) this.#refused()
    if (status < 0) this.#stopped(status)
    else if (refused >= 0) this.error = this.link.failed(EMSGSIZE, this.port.syscalls.transmit, refused)
    return this.#told()
  }

  /** Nothing is pending: takes back the frames that the device has sent. */
  #idle(): number {
    const status = this.port.completesOnKick ? this.#kick() : 0
    this.#reap(status)
    if (status < 0) this.#stopped(status)
    return this.#told()
  }

  /** How many frames were accepted since the last call. */
  #told(): number {
    const { accepted } = this
    this.accepted = 0
    return accepted
  }

  /**
   * Rings the doorbell; counts the frames that the device took.
   *
   * @param published everything in the ring is already handed over
   */
  #kick(published = false): number {
    const status = this.port.kick()
    const taken = this.#accept(published && status === 0)
    if (taken < 0) return -ERANGE
    this.accepted += taken
    this.transmitted += taken
    return status
  }

  close(): void {
    this.stagedCount = this.continuations = 0
    this.taken = this.ring.index
    this.room = 0
  }

  /** Whether frames can go out; otherwise sets the error. */
  #ready(): boolean {
    if (this.link.ready(this.port.syscalls.transmit)) return true
    this.error = this.link.obstacle
    this.congested = this.error === null
    return false
  }

  #stopped(status: number): void {
    if (status === -EAGAIN) return
    this.congested = status === -ENOBUFS && this.link.carries()
    if (!this.congested) {
      this.error = this.link.failed(-status, this.port.syscalls.transmit, this.refusedLength)
    }
  }

  /** Counts the frames that the device dropped since the last look. */
  #refused(): void {
    const count = this.port.dropped - this.dropped
    this.dropped = this.port.dropped
    this.refusals.EBUSY = (this.refusals.EBUSY ?? 0) + count
    this.accepted -= count
    this.transmitted -= count
  }

  /** A port that offloads has room for the whole pool: a staged frame has no options. */
  #open(): void {
    this.room = this.whole && this.stagedCount === 0 ? (this.capacity - this.descriptors()) | 0 : 0
  }

  /** Moves staged frames into the ring, as many as fit. Returns the length of one that was refused, or −1. */
  #push(): number {
    const { records } = this.table
    const { longest } = this.port
    while (this.stagedCount > 0) {
      const index = this.staged[this.stagedFirst]
      const from = records[(index << recordShift) | offsetOfFrame]
      const length = records[(index << recordShift) | lengthOfFrame]
      if (length > longest && !this.#tagged(from, length - longest)) {
        // The kernel (is_skb_forwardable) or the device would drop it silently.
        this.table.slots.free(index, this.holder)
        this.refusals.EMSGSIZE = (this.refusals.EMSGSIZE ?? 0) + 1
        this.#unstage()
        return length
      }
      const last = (from + length - 1) >>> this.chunkShift
      const count = last - (from >>> this.chunkShift) + 1
      if (this.descriptors() + count > this.capacity) return -1
      this.#unstage()
      this.#write(from, length, count)
    }
    return -1
  }

  #unstage(): void {
    this.stagedFirst = (this.stagedFirst + 1) & this.stagedMask
    this.stagedCount--
  }

  #write(from: number, length: number, count: number): void {
    const { ring } = this
    const { words } = ring
    for (let left = count; left > 0; left--) {
      const fits = left === 1 ? length : this.chunkSize - (from & (this.chunkSize - 1))
      const at = ring.push()
      words[(at + addressWord) | 0] = from
      words[(at + addressHighWord) | 0] = 0
      words[(at + lengthWord) | 0] = fits
      words[(at + optionsWord) | 0] = left === 1 ? 0 : continued
      if (left > 1) {
        this.continued[ring.place(1)] = 1
        this.continuations++
      }
      from += fits
      length -= fits
    }
  }

  /** A VLAN tag may exceed the MTU (packet_extra_vlan_len_allowed in the kernel). */
  #tagged(from: number, excess: number): boolean {
    return excess <= tagBytes && this.memory[from + 12] === 0x81 && this.memory[from + 13] === 0
  }

  /**
   * How many frames the device has taken out of the ring since the last look; −1 when its index is impossible.
   *
   * @param all the device reported that it took all
   */
  #accept(all: boolean): number {
    const { ring } = this
    const pushed = this.descriptors()
    const left = all || this.port.takesAll ? 0 : ring.outstanding()
    if (left > pushed) return -1
    const frames = this.continuations === 0 ? pushed - left : this.#ended(pushed, left)
    this.taken = (ring.index - left) | 0
    return frames
  }

  /** How many frames end in the descriptors that the device took. */
  #ended(pushed: number, left: number): number {
    const { ring } = this
    let frames = 0
    for (let back = pushed; back > left; back--) {
      const place = ring.place(back)
      frames += 1 - this.continued[place]
      this.continuations -= this.continued[place]
      this.continued[place] = 0
    }
    return frames
  }

  /**
   * Frees the frames that the device is done with, and makes room in the ring for as many as it took.
   *
   * @param status of the preceding kick: completions have statuses only after an error, or once the device has failed
   */
  #reap(status: number): void {
    this.#open()
    const { completion } = this
    // The consumer's index may have been overwritten: the binding then needs this end's index again (ERANGE) or finds
    // no room (EAGAIN).
    if (status < 0) completion.consume(0)
    const count = completion.available()
    if (count === 0) return
    const { slots, shift } = this.table
    if (status < 0 || this.port.failing) this.#refusals(count)
    if (this.whole) {
      this.invalid += slots.recover(completion, count, this.holder, shift)
    } else {
      for (let i = 0; i < count; i++) {
        const address = completion.address(completion.at(i))
        if (this.#last(address) && !slots.free(address >>> shift, this.holder)) this.invalid++
      }
    }
    completion.consume(count)
  }

  /** Counts the frames of the next `count` completions that the device did not send. */
  #refusals(count: number): void {
    const { completion } = this
    const { shift, records, slots } = this.table
    for (let i = 0; i < count; i++) {
      const at = completion.at(i)
      const errno = completion.status(at)
      if (errno === 0) continue
      this.transmitted--
      // EIO names a frame that the device accepted before it failed.
      if (errno !== EIO) this.accepted--
      const index = completion.address(at) >>> shift
      if (index >= slots.count) continue
      const name = getSystemErrorName(-errno)
      this.refusals[name] = (this.refusals[name] ?? 0) + 1
      this.refusedLength = records[(index << recordShift) | lengthOfFrame]
    }
  }

  /** Whether an address lies in a frame's last buffer: of a frame in several descriptors, only the last one counts. */
  #last(address: number): boolean {
    const { records, slots, shift } = this.table
    const index = address >>> shift
    if (index >= slots.count) return true
    const record = index << recordShift
    const end = records[record | offsetOfFrame] + records[record | lengthOfFrame] - 1
    return address >>> this.chunkShift === end >>> this.chunkShift
  }
}

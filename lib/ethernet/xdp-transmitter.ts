import { constants } from 'node:os'
import type { VerbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import type { TransmittingEnd } from './backend.js'
import type { Device } from './device.js'
import { FrameRecord, type FrameTable } from './frames.js'
import { DescriptorOption, type XdpPort } from './xdp-port.js'

const { EMSGSIZE, ERANGE } = constants.errno
const headerBytes = 14
const tagBytes = 4

// Of this file's own: V8 folds them, but looks into an imported object each time.
const {
  address: addressWord,
  addressHigh: addressHighWord,
  length: lengthWord,
  options: optionsWord,
} = DescriptorRecord
const { continued } = DescriptorOption

/**
 * The transmitting half of a queue on AF_XDP: the kernel's transmit ring and completion ring.
 *
 * A frame goes into the ring when it is sent, and the ring to the kernel at the next submit. What must be looked at
 * first (a frame that is longer than one of the kernel's buffers, and goes out of where it lies by several descriptors,
 * or longer than the interface takes) or finds the ring full is staged until then, and all that comes after it.
 */
export class XdpTransmitter implements TransmittingEnd {
  error: VerbsError | null = null
  transmitted = 0
  refused = 0
  invalid = 0
  readonly #port: XdpPort
  readonly #device: Device
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #holder: number
  readonly #headroom: number
  readonly #capacity: number
  readonly #chunkSize: number
  /** log2 of the chunk size */
  readonly #chunkShift: number
  /** A frame fits into one of the kernel's buffers. */
  readonly #whole: boolean
  /** Frames that were sent and are not in the ring yet, first in first out. */
  readonly #staged: Uint32Array
  readonly #stagedMask: number
  #stagedFirst = 0
  #stagedCount = 0
  /** By place in the transmit ring: whether the descriptor there goes on in the next one. */
  readonly #continued: Uint8Array
  /** How many of those that the kernel has not taken do. */
  #continuations = 0
  /** How far the kernel had taken descriptors out of the ring at the last look. */
  #taken = 0

  /** @param holder who has the frames that are pending or under way (lib/ring/slots.ts) */
  constructor(
    port: XdpPort,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    headroom: number,
  ) {
    this.#port = port
    this.#device = device
    this.#table = table
    this.#memory = memory
    this.#holder = holder
    this.#headroom = headroom
    this.#capacity = port.transmit.layout.capacity
    this.#chunkSize = port.chunkSize
    this.#chunkShift = Math.log2(port.chunkSize) | 0
    this.#whole = this.#chunkShift === table.shift
    const capacity = 1 << Math.ceil(Math.log2(table.slots.count))
    this.#staged = new Uint32Array(capacity)
    this.#stagedMask = capacity - 1
    this.#continued = new Uint8Array(this.#capacity)
  }

  get pending(): number {
    return this.#stagedCount + this.#descriptors - this.#continuations
  }

  /** Descriptors in the ring that the kernel has not taken. */
  get #descriptors(): number {
    return this.#port.transmit.pushed(this.#taken)
  }

  claim(): number {
    const slot = this.#table.claim(this.#headroom)
    if (slot >= 0) return slot
    this.#reap()
    return this.#table.claim(this.#headroom)
  }

  send(slot: number, length: number, offset: number | undefined): void {
    const table = this.#table
    const from = table.check(slot, length, offset)
    const index = table.slots.indexOf(slot)
    table.slots.hold(index, this.#holder)
    const ring = this.#port.transmit
    if (
      this.#whole &&
      this.#stagedCount === 0 &&
      length <= this.#port.mtu + headerBytes &&
      ring.pushed(this.#taken) < this.#capacity
    ) {
      const { words } = ring
      const at = ring.push()
      words[at + addressWord] = from
      words[at + addressHighWord] = 0
      words[at + lengthWord] = length
      words[at + optionsWord] = 0
    } else {
      table.describe(index, from, length)
      this.#staged[(this.#stagedFirst + this.#stagedCount++) & this.#stagedMask] = index
    }
  }

  submit(): number {
    this.error = null
    if (this.#descriptors === 0 && this.#stagedCount === 0) {
      this.#reap()
      return 0
    }
    let accepted = 0
    let status: number
    let refused: number
    // Again as long as the ring was what had no room.
    do {
      refused = this.#stagedCount > 0 ? this.#push() : -1
      this.#port.transmit.publish()
      status = this.#port.kick()
      const taken = this.#accept()
      if (taken < 0) status = -ERANGE
      else accepted += taken
    } while (status === 0 && refused < 0 && this.#stagedCount > 0 && this.#descriptors === 0)
    this.#reap()
    this.transmitted += accepted
    if (status < 0) this.error = this.#device.failed(-status, this.#port.syscalls.transmit)
    else if (refused >= 0) this.error = this.#device.failed(EMSGSIZE, this.#port.syscalls.transmit, refused)
    return accepted
  }

  close(): void {
    this.#stagedCount = this.#continuations = 0
    this.#taken = this.#port.transmit.index
  }

  /** Moves staged frames into the ring, as many as fit. Returns the length of one that was refused, or −1. */
  #push(): number {
    const { records } = this.#table
    const longest = this.#port.mtu + headerBytes
    while (this.#stagedCount > 0) {
      const index = this.#staged[this.#stagedFirst]
      const from = records[index * FrameRecord.words + FrameRecord.offset]
      const length = records[index * FrameRecord.words + FrameRecord.length]
      if (length > longest && !this.#tagged(from, length - longest)) {
        // The kernel would drop it without a word (is_skb_forwardable), or the device would.
        this.#table.slots.free(index, this.#holder)
        this.refused++
        this.#unstage()
        return length
      }
      const last = (from + length - 1) >>> this.#chunkShift
      const count = last - (from >>> this.#chunkShift) + 1
      if (this.#descriptors + count > this.#capacity) return -1
      this.#unstage()
      this.#write(from, length, count)
    }
    return -1
  }

  #unstage(): void {
    this.#stagedFirst = (this.#stagedFirst + 1) & this.#stagedMask
    this.#stagedCount--
  }

  #write(from: number, length: number, count: number): void {
    const ring = this.#port.transmit
    const { words } = ring
    for (let left = count; left > 0; left--) {
      const fits = left === 1 ? length : this.#chunkSize - (from & (this.#chunkSize - 1))
      const at = ring.push()
      words[at + addressWord] = from
      words[at + addressHighWord] = 0
      words[at + lengthWord] = fits
      words[at + optionsWord] = left === 1 ? 0 : continued
      if (left > 1) {
        this.#continued[ring.place(1)] = 1
        this.#continuations++
      }
      from += fits
      length -= fits
    }
  }

  /** A VLAN tag may exceed the MTU (packet_extra_vlan_len_allowed in the kernel). */
  #tagged(from: number, excess: number): boolean {
    return excess <= tagBytes && this.#memory[from + 12] === 0x81 && this.#memory[from + 13] === 0
  }

  /** How many frames the kernel has taken out of the ring since the last look; −1 when its index cannot be true. */
  #accept(): number {
    const ring = this.#port.transmit
    const pushed = this.#descriptors
    const left = this.#port.zeroCopy ? 0 : ring.outstanding()
    if (left > pushed) return -1
    const frames = this.#continuations === 0 ? pushed - left : this.#ended(pushed, left)
    this.#taken = (ring.index - left) | 0
    return frames
  }

  /** How many frames the descriptors end that were taken. */
  #ended(pushed: number, left: number): number {
    const ring = this.#port.transmit
    let frames = 0
    for (let back = pushed; back > left; back--) {
      const place = ring.place(back)
      frames += 1 - this.#continued[place]
      this.#continuations -= this.#continued[place]
      this.#continued[place] = 0
    }
    return frames
  }

  /** Frees what the device is done with. */
  #reap(): void {
    const { completion } = this.#port
    const count = completion.available()
    if (count === 0) return
    const { slots, shift } = this.#table
    if (this.#whole) {
      this.invalid += slots.recover(completion, count, this.#holder, shift)
    } else {
      for (let i = 0; i < count; i++) {
        const address = completion.words[completion.at(i) + AddressRecord.address]
        if (this.#last(address) && !slots.free(address >>> shift, this.#holder)) this.invalid++
      }
    }
    completion.consume(count)
  }

  /** Whether an address lies in the last of a frame's buffers: of a frame in several descriptors, the last counts. */
  #last(address: number): boolean {
    const { records, slots, shift } = this.#table
    const index = address >>> shift
    if (index >= slots.count) return true
    const record = index * FrameRecord.words
    const end = records[record + FrameRecord.offset] + records[record + FrameRecord.length] - 1
    return address >>> this.#chunkShift === end >>> this.#chunkShift
  }
}

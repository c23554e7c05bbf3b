import { constants } from 'node:os'
import type { VerbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import { type AfXdp, DescriptorOption } from './af-xdp.js'
import type { TransmittingEnd } from './backend.js'
import type { Device } from './device.js'
import { FrameFlag, FrameRecord, type FrameTable } from './frames.js'
import { completeChecksum, offloadsOf, restoreVlan } from './offload.js'
import { checkFrame, claimFrame } from './transmitter.js'

const { EMSGSIZE, ERANGE } = constants.errno
const headerBytes = 14
const tagBytes = 4

/**
 * The transmitting half of a queue on AF_XDP: the kernel's transmit ring and completion ring.
 *
 * A frame that is longer than one of the kernel's buffers is sent from where it lies, by several descriptors.
 */
export class XdpTransmitter implements TransmittingEnd {
  error: VerbsError | null = null
  transmitted = 0
  readonly refusals: Record<string, number> = {}
  invalid = 0
  readonly #backend: AfXdp
  readonly #device: Device
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #holder: number
  readonly #headroom: number
  readonly #chunkSize: number
  /** log2 of the chunk size */
  readonly #chunkShift: number
  /** Frames that were sent and are not in the ring yet, first in first out. */
  readonly #staged: Uint32Array
  readonly #stagedMask: number
  #stagedFirst = 0
  #stagedCount = 0
  /** By place in the transmit ring: whether the descriptor there ends a frame. */
  readonly #ends: Uint8Array
  /** Descriptors in the ring that the kernel has not taken, and frames that they end. */
  #descriptors = 0
  #inRing = 0

  /** @param holder who has the frames that are pending or under way (lib/ring/slots.ts) */
  constructor(
    backend: AfXdp,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    headroom: number,
  ) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#memory = memory
    this.#holder = holder
    this.#headroom = headroom
    this.#chunkSize = backend.chunkSize
    this.#chunkShift = Math.log2(backend.chunkSize)
    const capacity = 2 ** Math.ceil(Math.log2(table.slots.count))
    this.#staged = new Uint32Array(capacity)
    this.#stagedMask = capacity - 1
    this.#ends = new Uint8Array(backend.transmit.layout.capacity)
  }

  get pending(): number {
    return this.#stagedCount + this.#inRing
  }

  claim(): number {
    const slot = claimFrame(this.#table, this.#holder, this.#headroom)
    if (slot >= 0) return slot
    this.#reap()
    return claimFrame(this.#table, this.#holder, this.#headroom)
  }

  send(slot: number, length: number, offset: number | undefined): void {
    const index = checkFrame(this.#table, slot, length, offset)
    this.#table.slots.hold(index, this.#holder)
    this.#staged[(this.#stagedFirst + this.#stagedCount++) & this.#stagedMask] = index
  }

  forward(slot: number): void {
    const table = this.#table
    const index = table.slots.index(slot)
    const options = offloadsOf(table, index)
    // Nobody does it for AF_XDP. A super-frame is too long, and refused.
    if (options !== 0) {
      restoreVlan(table, this.#memory, index)
      if ((table.records[index * FrameRecord.words + FrameRecord.flags] & FrameFlag.truncated) === 0) {
        completeChecksum(table, this.#memory, index)
      }
    }
    this.send(slot, table.records[index * FrameRecord.words + FrameRecord.length], undefined)
  }

  submit(): number {
    this.error = null
    if (this.pending === 0) {
      this.#reap()
      return 0
    }
    let accepted = 0
    let status: number
    let refused: number
    // Again as long as the ring was what had no room.
    do {
      refused = this.#push()
      status = this.#backend.kick()
      const taken = this.#accept()
      if (taken < 0) status = -ERANGE
      else accepted += taken
    } while (status === 0 && refused < 0 && this.#stagedCount > 0 && this.#descriptors === 0)
    this.#reap()
    this.transmitted += accepted
    if (status < 0) this.error = this.#device.failed(-status, this.#backend.syscalls.transmit)
    else if (refused >= 0)
      this.error = this.#device.failed(EMSGSIZE, this.#backend.syscalls.transmit, refused)
    return accepted
  }

  close(): void {
    this.#stagedCount = this.#inRing = this.#descriptors = 0
  }

  /** Moves staged frames into the ring, as many as fit. Returns the length of one that was refused, or −1. */
  #push(): number {
    const { records } = this.#table
    const ring = this.#backend.transmit
    const { capacity } = ring.layout
    const longest = this.#backend.mtu + headerBytes
    let refused = -1
    while (this.#stagedCount > 0) {
      const index = this.#staged[this.#stagedFirst]
      const from = records[index * FrameRecord.words + FrameRecord.offset]
      const length = records[index * FrameRecord.words + FrameRecord.length]
      if (length > longest && !this.#tagged(from, length - longest)) {
        // The kernel would drop it without a word (is_skb_forwardable), or the device would.
        this.#table.slots.free(index, this.#holder)
        this.refusals.EMSGSIZE = (this.refusals.EMSGSIZE ?? 0) + 1
        this.#unstage()
        refused = length
        break
      }
      const last = (from + length - 1) >>> this.#chunkShift
      const count = last - (from >>> this.#chunkShift) + 1
      if (this.#descriptors + count > capacity) break
      this.#unstage()
      this.#write(from, length, count)
      this.#inRing++
    }
    ring.publish()
    return refused
  }

  #unstage(): void {
    this.#stagedFirst = (this.#stagedFirst + 1) & this.#stagedMask
    this.#stagedCount--
  }

  #write(from: number, length: number, count: number): void {
    const ring = this.#backend.transmit
    const { words } = ring
    for (let left = count; left > 0; left--) {
      const fits = left === 1 ? length : this.#chunkSize - (from & (this.#chunkSize - 1))
      const at = ring.push()
      words[at + DescriptorRecord.address] = from
      words[at + DescriptorRecord.addressHigh] = 0
      words[at + DescriptorRecord.length] = fits
      words[at + DescriptorRecord.options] = left === 1 ? 0 : DescriptorOption.continued
      this.#ends[ring.place(1)] = left === 1 ? 1 : 0
      from += fits
      length -= fits
    }
    this.#descriptors += count
  }

  /** A VLAN tag may exceed the MTU (packet_extra_vlan_len_allowed in the kernel). */
  #tagged(from: number, excess: number): boolean {
    return excess <= tagBytes && this.#memory[from + 12] === 0x81 && this.#memory[from + 13] === 0
  }

  /** How many frames the kernel has taken out of the ring since the last look; −1 when its index cannot be true. */
  #accept(): number {
    // In zero-copy mode the ring is the device's: what is in it was accepted.
    const left = this.#backend.zeroCopy ? 0 : this.#backend.transmit.outstanding()
    if (left > this.#descriptors) return -1
    let frames = 0
    for (let back = this.#descriptors; back > left; back--) {
      frames += this.#ends[this.#backend.transmit.place(back)]
    }
    this.#descriptors = left
    this.#inRing -= frames
    return frames
  }

  /** Frees what the device is done with. */
  #reap(): void {
    const { completion } = this.#backend
    const { slots, shift, records } = this.#table
    const count = completion.available()
    if (count === 0) return
    for (let i = 0; i < count; i++) {
      const address = completion.words[completion.at(i) + AddressRecord.address]
      const index = address >>> shift
      const record = index * FrameRecord.words
      // Of a frame in several descriptors, the last counts.
      const end = records[record + FrameRecord.offset] + records[record + FrameRecord.length] - 1
      if (address >>> this.#chunkShift !== end >>> this.#chunkShift && index < slots.count) continue
      if (!slots.free(index, this.#holder)) this.invalid++
    }
    completion.consume(count)
  }
}

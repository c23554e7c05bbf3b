import { integer, rangeError, typeError } from '../argument.js'
import { verbsError } from '../errors.js'
import { AddressRecord, DescriptorRecord } from '../ring/ring.js'
import { type AfXdp, DescriptorOption } from './af-xdp.js'
import type { ReceivingEnd } from './backend.js'
import type { Device } from './device.js'
import { FrameFlag, FrameRecord, type FrameTable, PacketType } from './frames.js'

/**
 * The receiving half of a queue on AF_XDP: the kernel's fill ring and receive ring.
 *
 * Every frame of the pool lends the kernel its first buffer. A frame that needs more lies in the first buffers of
 * several; what follows the first is copied behind it, where its own room is, so that every frame is one stretch of
 * memory.
 */
export class XdpReceiver implements ReceivingEnd {
  invalid = 0
  readonly #backend: AfXdp
  readonly #device: Device
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #holder: number
  readonly #target: number
  readonly #slots: Uint32Array
  readonly #own: Uint8Array
  #filled = 0
  #count = 0

  /** @param target how many frames to keep in the fill ring; 0 for a queue that only transmits */
  constructor(
    backend: AfXdp,
    device: Device,
    table: FrameTable,
    memory: Uint8Array,
    holder: number,
    batch: number,
    target: number,
  ) {
    this.#backend = backend
    this.#device = device
    this.#table = table
    this.#memory = memory
    this.#holder = holder
    this.#target = target
    this.#slots = new Uint32Array(batch)
    this.#own = device.interface.macBytes
    this.#refill()
  }

  ready(): number {
    const ring = this.#backend.receive
    const descriptors = this.#look()
    let frames = 0
    for (let i = 0; i < descriptors && frames < this.#slots.length; i++) {
      if ((ring.words[ring.at(i) + DescriptorRecord.options] & DescriptorOption.continued) === 0) frames++
    }
    // Descriptors without an end are somebody's forgery, which receive() will take away.
    return descriptors > 0 ? Math.max(1, frames) : 0
  }

  /** Descriptors in the receive ring. */
  #look(): number {
    const waiting = this.#backend.receive.available()
    if (waiting > 0) return waiting
    this.#device.check(this.#backend.syscalls.receive)
    if (this.#filled < this.#target) this.#refill()
    const status = this.#backend.poll()
    if (status < 0) throw this.#device.failed(-status, this.#backend.syscalls.receive)
    return status
  }

  awaitable(): number {
    const count = this.ready()
    if (count > 0 || this.#filled > 0) return count
    const { receive } = this.#backend.syscalls
    if (this.#target === 0) throw verbsError('EOPNOTSUPP', receive, 'the queue was opened with transmitOnly')
    throw verbsError(
      'ENOBUFS',
      receive,
      `none of the ${this.#table.slots.count} frames is free to receive into: release(), forward() or submit() some`,
    )
  }

  receive(): number {
    this.#count = 0
    if (this.#look() === 0) return 0
    const ring = this.#backend.receive
    const { words } = ring
    const { slots, shift } = this.#table
    const available = ring.available()
    let used = 0
    let count = 0
    while (used < available && count < this.#slots.length) {
      const at = ring.at(used++)
      const address = words[at + DescriptorRecord.address]
      const index = address >>> shift
      const slot = slots.handOut(index, this.#holder)
      if (slot < 0) {
        this.invalid++
        continue
      }
      const length = this.#describe(index, address, words[at + DescriptorRecord.length])
      if ((words[at + DescriptorRecord.options] & DescriptorOption.continued) !== 0) {
        used = this.#gather(index, address + length, used, available)
      }
      this.#slots[count++] = slot
    }
    ring.consume(used)
    this.#filled = Math.max(0, this.#filled - used)
    this.#backend.received += count
    this.#count = count
    this.#refill()
    return count
  }

  slot(i: number): number {
    if (typeof i !== 'number') throw typeError('i', 'a number', i)
    if (i >= 0 && i < this.#count) return this.#slots[i] ?? integer('i', i)
    throw rangeError('i', `an index into the ${this.#count} frames of the last receive()`, i)
  }

  /** Writes a frame's record and returns its length, which never leads out of its place. */
  #describe(index: number, address: number, told: number): number {
    const { records, shift } = this.#table
    const length = Math.min(told, (index + 1) * 2 ** shift - address)
    const record = index * FrameRecord.words
    records[record + FrameRecord.offset] = address
    records[record + FrameRecord.length] = length
    records[record + FrameRecord.originalLength] = length
    records[record + FrameRecord.flags] = this.#packetType(address) << 8
    records[record + FrameRecord.vlan] = 0
    records[record + FrameRecord.seconds] = 0
    records[record + FrameRecord.nanoseconds] = 0
    return length
  }

  /** To whom the frame is, as eth_type_trans() in the kernel tells a packet socket. */
  #packetType(at: number): number {
    const memory = this.#memory
    const own = this.#own
    if ((memory[at] & 1) === 0) {
      for (let i = 5; i >= 0; i--) if (memory[at + i] !== own[i]) return PacketType.otherHost
      return PacketType.host
    }
    for (let i = 0; i < 6; i++) if (memory[at + i] !== 0xff) return PacketType.multicast
    return PacketType.broadcast
  }

  /**
   * Appends the rest of a frame. The kernel publishes a frame whole: one whose end is not there was written by
   * somebody else.
   *
   * @returns how many descriptors are used up then
   */
  #gather(index: number, end: number, used: number, available: number): number {
    const ring = this.#backend.receive
    const { words } = ring
    const { slots, shift, records } = this.#table
    const record = index * FrameRecord.words
    let room = (index + 1) * 2 ** shift - end
    let options: number = DescriptorOption.continued
    let original = records[record + FrameRecord.length]
    let length = original
    while ((options & DescriptorOption.continued) !== 0 && used < available) {
      const at = ring.at(used++)
      const address = words[at + DescriptorRecord.address]
      const told = words[at + DescriptorRecord.length]
      options = words[at + DescriptorRecord.options]
      if (!slots.free(address >>> shift, this.#holder)) {
        this.invalid++
        continue
      }
      const fits = Math.min(told, room, this.#memory.length - address)
      this.#memory.copyWithin(end, address, address + fits)
      end += fits
      room -= fits
      length += fits
      original += told
    }
    records[record + FrameRecord.length] = length
    records[record + FrameRecord.originalLength] = original
    if (original > length) {
      records[record + FrameRecord.flags] |= FrameFlag.truncated
      this.#backend.truncated++
    }
    return used
  }

  #refill(): void {
    if (this.#filled >= this.#target) return
    const ring = this.#backend.fill
    const { slots, shift } = this.#table
    const before = this.#filled
    while (this.#filled < this.#target) {
      const index = slots.take(this.#holder)
      if (index < 0) break
      const at = ring.push()
      ring.words[at + AddressRecord.address] = index << shift
      ring.words[at + AddressRecord.status] = 0
      this.#filled++
    }
    if (this.#filled > before) ring.publish()
  }
}

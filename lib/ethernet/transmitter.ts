import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { ownCopy } from '../hot/own-copy.js'
import { cells, DescriptorOption } from '../ring/ring.js'
import { columnError } from './column-error.js'
import { FrameFifo } from './frame-fifo.js'
import { brief, FrameRecord, type FrameTable, headerBytes, tableOf } from './frames.js'
import { commonParts } from './hot/common.js'
import type { TransmitCalls, TransmitParts } from './hot/parts.js'
import { type Outcome, TransmitState } from './hot/state.js'
import type { Link } from './interface/link.js'
import { finishFrame, segmentTypeOf, unfinishedFlags } from './offload.js'
import { type CompletionRing, type Port, type TransmitRing, unlimited } from './port.js'
import type { QueueParts } from './queue-parts.js'

const { EAGAIN, EIO, EMSGSIZE, ENOBUFS, ERANGE } = constants.errno
/** The link is checked once in this many submits plus one, and when the event loop reports a change. */
const submitsBetweenLooks = 255
const tagBytes = 4

const { continued } = DescriptorOption
const { room: roomAt, taken: takenAt, slow: slowAt, submits: submitsAt } = TransmitState
const { offset: offsetOfFrame, length: lengthOfFrame, flags: flagsOfFrame, words: recordWords } = FrameRecord

/**
 * The transmitting half of a queue, on any port: moves frames from the caller into the transmit ring, and frees them
 * from the completion ring. hot/transmit.cts does what is done for each batch and each frame, as long as the device
 * takes everything; here is the rest.
 *
 * send() puts a frame into the ring, and the next submit hands the ring over to the device. Three kinds of frame are
 * staged until that submit, with all frames after them: one that finds the ring full, one that is longer than a
 * device's buffer and leaves from where it lies by several descriptors, and one that is longer than the interface
 * accepts.
 */
export class Transmitter {
  /** The device's own queue had no room at the last submit; no event announces room. */
  congested = false
  /** Frames that were themselves refused, by the name of the error. */
  readonly refusals: Record<string, number> = {}
  /** Records in the completion ring that named no frame of this queue. */
  invalid = 0
  /** What the queue's callers call. */
  readonly calls: TransmitCalls
  readonly #outcome: Outcome
  readonly #port: Port
  readonly #ring: TransmitRing
  readonly #completion: CompletionRing
  readonly #link: Link
  readonly #table: FrameTable
  readonly #memory: Uint8Array
  readonly #holder: number
  readonly #chunkSize: number
  /** log2 of the chunk size */
  readonly #chunkShift: number
  /** Every frame fits into one of the device's buffers. */
  readonly #whole: boolean
  readonly #state = cells(4)
  readonly #transmitted = new Float64Array(new SharedArrayBuffer(64), 0, 1)
  /** Frames that were sent and are not in the ring yet. */
  readonly #staged: FrameFifo
  /** By place in the transmit ring: whether the descriptor continues in the next one. */
  readonly #continued: Uint8Array
  /** How many of the descriptors that the device has not taken continue. */
  #continuations = 0
  /** The device's count of dropped frames at the last look. */
  #dropped = 0
  /** Frames accepted since the last submit returned: a claim kicks, too. */
  #accepted = 0
  /** Places of the ring that the first staged frame needs, where they were lacking; else 1. */
  #needed = 1
  /** Length of the frame that the last kick refused; 0 if it refused none. */
  #refusedLength = 0

  constructor(port: Port, link: Link, { frames, outcome, holder, closed }: QueueParts) {
    const table = tableOf(frames)
    this.#port = port
    this.#ring = port.transmit
    this.#completion = port.completion
    this.#link = link
    this.#table = table
    this.#outcome = outcome
    this.#memory = frames.arena.bytes
    this.#holder = holder + 1
    this.#chunkSize = port.chunkSize
    this.#chunkShift = Math.log2(port.chunkSize)
    this.#whole = this.#chunkShift === table.shift
    this.#staged = new FrameFifo(table.slots.count)
    this.#continued = new Uint8Array(port.transmit.layout.capacity)
    const mailbox = cells(1)
    const compile = ownCopy<(parts: TransmitParts) => TransmitCalls>(
      new URL('./hot/transmit.cjs', import.meta.url),
    )
    this.calls = compile({
      ...commonParts(table, closed),
      port,
      ring: port.transmit.hot(),
      completion: port.completion.hot(),
      attention: port.transmitAttention ?? cells(1),
      link: link.state,
      bell: port.transmitBell ?? {
        ring: () => {
          mailbox[0] = port.kick()
        },
        mailbox,
      },
      state: this.#state,
      transmitted: this.#transmitted,
      outcome,
      holder: this.#holder,
      unfinished: unfinishedFlags,
      headerBytes,
      submitsBetweenLooks,
      TransmitState,
      transmitter: {
        reclaim: () => this.#reclaim(),
        stage: (index, length) => this.#stage(index, length),
        move: (slot, offset) => table.move(slot, offset),
        forward: (slot) => this.offload(slot),
        look: () => this.#look(),
        submit: () => this.submit(),
        kicked: (status) => this.#kicked(status),
        countInvalid: (count) => {
          this.invalid += count
        },
        spill: () => table.slots.spill(),
        badSlot: (slot) => table.slots.refuse(slot),
        badLength: (slot, length) => table.refuseLength(slot, length as number),
        badColumn: columnError,
      },
    })
    this.#settle()
  }

  get transmitted(): number {
    return this.#transmitted[0]
  }

  /** Descriptors in the ring that the device has not taken. */
  get #descriptors(): number {
    return this.#ring.pushed(this.#state[takenAt])
  }

  /** No frame is free: takes back those that the device is done with. Returns whether there are any. */
  #reclaim(): boolean {
    const { slots } = this.#table
    if (slots.pull()) return true
    this.#reap(this.#port.completesOnKick ? this.#kick() : 0)
    this.#settle()
    return slots.freeHere > 0 || slots.pull()
  }

  /** Sends a frame whose record leaves its checksum, VLAN tag or segments to the kernel or the device. */
  offload(slot: number): void {
    const table = this.#table
    const index = table.slots.index(slot)
    const options = this.#optionsOf(index)
    const length = table.records[index * recordWords + lengthOfFrame]
    table.check(slot, length)
    table.slots.hold(index, this.#holder)
    const state = this.#state
    if (state[roomAt] >= this.#placesOf(options) && length <= this.#longestOf(index, options)) {
      this.#ring.write(table.records[index * recordWords + offsetOfFrame], length, options)
    } else {
      // The record says what is to be done when there is room.
      this.#stage(index, length, options > 0)
    }
    this.#settle()
  }

  /** The options of a frame's descriptor, after this end has done what the other does not. */
  #optionsOf(index: number): number {
    const options = this.#port.offload ? this.#port.offload(this.#table, index) : -1
    if (options >= 0) return options
    finishFrame(this.#table, this.#memory, index)
    return 0
  }

  #placesOf(options: number): number {
    return options === 0 ? 1 : (this.#port.placesOf?.(options) ?? 1)
  }

  /** How long a frame may be: one that the other end cuts into segments, as long as it is. */
  #longestOf(index: number, options: number): number {
    const cut = options > 0 && segmentTypeOf(this.#table.records[index * recordWords + flagsOfFrame]) !== 0
    return cut ? unlimited : this.#port.longest[0]
  }

  /**
   * Keeps a frame of this queue, which does not go straight into the ring, and all frames after it.
   *
   * @param open the record leaves work to the other end
   */
  #stage(index: number, length: number, open = false): void {
    const { records } = this.#table
    if (!open) this.#table.describe(index, records[index * recordWords + offsetOfFrame], length)
    this.#staged.push(index)
    this.#state[roomAt] = 0
    this.#state[slowAt] = 1
  }

  /** Looks at the link, which the event loop may have no time to watch. */
  #look(): void {
    this.#state[submitsAt] = 0
    this.#link.look()
  }

  /** The whole of submit(), for what hot code leaves to this class; and for drain(). */
  submit(): number {
    const port = this.#port
    this.#outcome.error = null
    this.congested = false
    if (this.#descriptors === 0 && this.#staged.count === 0) return this.#idle()
    if (this.#link.stuck && !this.#ready()) return 0
    let status: number
    let refused: number
    let again: boolean
    // Repeats while the ring, and not the device, was out of room. In the device's own ring room comes with completions.
    do {
      if (this.#ring.room(this.#descriptors) < this.#needed) this.#reap(0)
      refused = this.#staged.count > 0 ? this.#unstageAll() : -1
      this.#ring.publish()
      status = this.#descriptors === 0 ? 0 : this.#kick(true)
      again = status === 0 && refused < 0 && this.#staged.count > 0 && this.#descriptors === 0
    } while (again && this.#ring.room(0) >= this.#needed)
    this.#reap(status)
    if (port.dropped > this.#dropped) this.#countDropped()
    if (status < 0) this.#stopped(status)
    else if (refused >= 0) this.#outcome.error = this.#link.failed(EMSGSIZE, port.syscalls.transmit, refused)
    return this.#told()
  }

  /** {@link submit}, after hot code rang the bell and the ring is not empty, or the status tells why. */
  #kicked(rung: number): number {
    this.congested = false
    const status = this.#taken(this.#port.kicked ? this.#port.kicked(rung) : rung, true)
    this.#reap(status)
    if (this.#port.dropped > this.#dropped) this.#countDropped()
    if (status < 0) this.#stopped(status)
    return this.#told()
  }

  /** Nothing is pending: takes back the frames that the device has sent. */
  #idle(): number {
    const status = this.#port.completesOnKick ? this.#kick() : 0
    this.#reap(status)
    if (status < 0) this.#stopped(status)
    else if (this.#port.failing) this.#stopped(-EIO)
    return this.#told()
  }

  /** How many frames were accepted since the last call. */
  #told(): number {
    const accepted = this.#accepted
    this.#accepted = 0
    this.#settle()
    return accepted
  }

  /**
   * Rings the doorbell.
   *
   * @param published everything in the ring is already handed over
   */
  #kick(published = false): number {
    return this.#taken(this.#port.kick(), published)
  }

  /** Counts the frames that the device took during a kick; returns the kick's status. */
  #taken(status: number, published: boolean): number {
    const taken = this.#accept(published && status === 0)
    if (taken < 0) return -ERANGE
    this.#accepted += taken
    this.#transmitted[0] += taken
    return status
  }

  close(): void {
    this.#staged.clear()
    this.#continuations = 0
    this.#state[takenAt] = this.#ring.index
    this.#settle()
  }

  /** Whether frames can go out; otherwise sets the error. */
  #ready(): boolean {
    if (this.#link.ready(this.#port.syscalls.transmit)) return true
    this.#outcome.error = this.#link.obstacle
    this.congested = this.#outcome.error === null
    return false
  }

  #stopped(status: number): void {
    if (status === -EAGAIN) return
    this.congested = status === -ENOBUFS && this.#refusedLength === 0 && this.#link.carries()
    if (!this.congested) {
      this.#outcome.error = this.#link.failed(-status, this.#port.syscalls.transmit, this.#refusedLength)
    }
  }

  /** Counts the frames that the device dropped since the last look. */
  #countDropped(): void {
    const count = this.#port.dropped - this.#dropped
    this.#dropped = this.#port.dropped
    this.refusals.EBUSY = (this.refusals.EBUSY ?? 0) + count
    this.#accepted -= count
    this.#transmitted[0] -= count
  }

  /**
   * Tells hot code what it may do by itself, and the queue how many frames are pending.
   */
  #settle(): void {
    const state = this.#state
    const staged = this.#staged.count
    const descriptors = this.#descriptors
    state[roomAt] = this.#whole && staged === 0 ? this.#ring.room(descriptors) : 0
    const slow = staged > 0 || this.#continuations > 0 || this.#accepted !== 0 || this.#port.failing
    state[slowAt] = slow || !this.#whole || this.#port.takesAll ? 1 : 0
    this.#outcome.pending = staged + descriptors - this.#continuations
  }

  /** Moves staged frames into the ring, as many as fit. Returns the length of one that was refused, or −1. */
  #unstageAll(): number {
    const { records } = this.#table
    this.#needed = 1
    while (this.#staged.count > 0) {
      const index = this.#staged.first
      const whole = (records[index * recordWords + flagsOfFrame] & brief) !== 0
      const options = whole ? 0 : this.#optionsOf(index)
      const longest = this.#longestOf(index, options)
      const from = records[index * recordWords + offsetOfFrame]
      const length = records[index * recordWords + lengthOfFrame]
      if (length > longest && !this.#tagged(from, length - longest)) {
        // The kernel (is_skb_forwardable) or the device would drop it silently.
        this.#table.slots.free(index, this.#holder)
        this.refusals.EMSGSIZE = (this.refusals.EMSGSIZE ?? 0) + 1
        this.#staged.shift()
        return length
      }
      const last = (from + length - 1) >>> this.#chunkShift
      const count = last - (from >>> this.#chunkShift) + 1
      const places = count * this.#placesOf(options)
      if (places > this.#ring.room(this.#descriptors)) {
        this.#needed = places
        return -1
      }
      this.#staged.shift()
      if (options > 0) this.#ring.write(from, length, options)
      else this.#writeParts(from, length, count)
    }
    return -1
  }

  /** Puts a frame into the ring that takes `count` of the device's buffers. */
  #writeParts(from: number, length: number, count: number): void {
    for (let left = count; left > 0; left--) {
      const fits = left === 1 ? length : this.#chunkSize - (from & (this.#chunkSize - 1))
      this.#ring.write(from, fits, left === 1 ? 0 : continued)
      if (left > 1) {
        this.#continued[this.#ring.place(1)] = 1
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

  /**
   * How many frames the device has taken out of the ring since the last look; −1 when its index is impossible.
   *
   * @param all the device reported that it took all
   */
  #accept(all: boolean): number {
    const ring = this.#ring
    const pushed = this.#descriptors
    const left = all || this.#port.takesAll ? 0 : ring.outstanding()
    if (left > pushed) return -1
    const frames = this.#continuations === 0 ? pushed - left : this.#ended(pushed, left)
    this.#state[takenAt] = ring.index - left
    return frames
  }

  /** How many frames end in the descriptors that the device took. */
  #ended(pushed: number, left: number): number {
    let frames = 0
    for (let back = pushed; back > left; back--) {
      const place = this.#ring.place(back)
      frames += 1 - this.#continued[place]
      this.#continuations -= this.#continued[place]
      this.#continued[place] = 0
    }
    return frames
  }

  /**
   * Frees the frames that the device is done with.
   *
   * @param status of the preceding kick: completions have statuses only after an error, or once the device has failed
   */
  #reap(status: number): void {
    const completion = this.#completion
    // The consumer's index may have been overwritten: the binding then needs this end's index again (ERANGE) or finds
    // no room (EAGAIN).
    if (status < 0) {
      completion.consume(0)
      this.#refusedLength = 0
    }
    const count = completion.available()
    if (count === 0) return
    const { slots, shift } = this.#table
    if (status < 0 || this.#port.failing) this.#countRefused(count)
    if (this.#whole) {
      this.invalid += slots.recover(completion, count, this.#holder, shift)
    } else {
      for (let i = 0; i < count; i++) {
        const address = completion.address(completion.at(i))
        if (this.#last(address) && !slots.free(address >>> shift, this.#holder)) this.invalid++
      }
    }
    completion.consume(count)
  }

  /** Counts the frames of the next `count` completions that the device did not send. */
  #countRefused(count: number): void {
    const completion = this.#completion
    const { records, shift, slots } = this.#table
    for (let i = 0; i < count; i++) {
      const at = completion.at(i)
      const errno = completion.status(at)
      if (errno === 0) continue
      this.#transmitted[0]--
      // EIO names a frame that the device accepted before it failed.
      if (errno !== EIO) this.#accepted--
      const index = completion.address(at) >>> shift
      if (index >= slots.count) continue
      const name = getSystemErrorName(-errno)
      this.refusals[name] = (this.refusals[name] ?? 0) + 1
      this.#refusedLength = records[index * recordWords + lengthOfFrame]
    }
  }

  /** Whether an address lies in a frame's last buffer: of a frame in several descriptors, only the last one counts. */
  #last(address: number): boolean {
    const { records, slots, shift } = this.#table
    const index = address >>> shift
    if (index >= slots.count) return true
    const record = index * recordWords
    const end = records[record + offsetOfFrame] + records[record + lengthOfFrame] - 1
    return address >>> this.#chunkShift === end >>> this.#chunkShift
  }
}

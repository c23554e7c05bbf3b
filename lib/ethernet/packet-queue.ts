import { inspect } from 'node:util'
import { boolean, options as optionsOf } from '../argument.js'
import { closedError, type VerbsError, verbsError } from '../errors.js'
import { formatMac, groupArgument, type MacAddress } from '../headers/mac.js'
import type { RingLayout, RingWords } from '../ring/ring.js'
import { type WaitOptions, waitSignal } from '../wait-options.js'
import { downError } from './failure.js'
import { type FramePool, FrameRecord } from './frames.js'
import type { NetworkInterface } from './interface/interfaces.js'
import { Link } from './interface/link.js'
import { offloadsOf, request as requestOffload, SegmentType } from './offload.js'
import { openWay, wayOver } from './open.js'
import { type PacketQueueOptions, packetQueueOptionNames, type Settings, settingsOf } from './options.js'
import type { Port, ReceivingEnd, TransmittingEnd, Way } from './port.js'
import { QueueFrames } from './queue-frames.js'
import { targetOf } from './raw-packet/rdma-port.js'
import type { BackendReport, PacketBackend } from './report.js'
import { type PacketStatistics, sumOf } from './statistics.js'
import { Waiting } from './waiting.js'

/**
 * A queue over a backend that is not the kernel's, for tests and benchmarks: see {@link Port}.
 *
 * @param receiveFrames how many frames to keep in the fill ring
 */
export let queueOver: (frames: FramePool, batch: number, port: Port, receiveFrames?: number) => PacketQueue

const ethernetTypes = [1 /* ARPHRD_ETHER */, 772 /* ARPHRD_LOOPBACK */]

/**
 * Raw Ethernet frames in and out of one network interface.
 *
 * Frames live in one arena ({@link memory}) and are named by slots, numbers that are good until they are given back;
 * {@link FramePool} states the rule of ownership. The hot calls, {@link receive} and {@link submit}, cross into native
 * code once a batch, and nothing allocates. A queue belongs to the thread that opened it.
 */
export class PacketQueue extends QueueFrames {
  /** Most frames that one {@link receive} brings. */
  declare readonly batch: number
  declare private readonly port: Port
  declare private readonly link: Link
  declare private readonly holder: number
  declare private readonly receiver: ReceivingEnd
  declare private readonly transmitter: TransmittingEnd
  declare private readonly waiting: Waiting
  /** Puts the device back as it was found. */
  declare private readonly restore: (() => void) | undefined
  private ended: boolean = false

  /**
   * Opens a queue on an interface: with AF_PACKET, beside the kernel's own network stack, unless `backend` or
   * `exclusive` ask for AF_XDP or a raw packet queue pair, which take frames away from it. On a port of an RDMA device,
   * 'mlx5_0/1', it is a raw packet queue pair.
   *
   * @throws VerbsError ENODEV (with a list of the interfaces there are), ENETDOWN, ENOTSUP for what is not Ethernet,
   *   EPERM without CAP_NET_RAW (AF_XDP: and CAP_NET_ADMIN and CAP_BPF), EBUSY or EEXIST when somebody else has AF_XDP
   *   there; TypeError, RangeError
   */
  static open(interfaceName: string, options?: PacketQueueOptions): PacketQueue {
    const { port, mtu } = optionsOf('options', options, packetQueueOptionNames)
    const { interface: networkInterface, rdma } = targetOf(interfaceName, port, mtu)
    const settings = settingsOf(networkInterface, options, rdma)
    if (!ethernetTypes.includes(networkInterface.type)) {
      throw verbsError(
        'EOPNOTSUPP',
        'bind',
        `"${networkInterface.name}" is not Ethernet (hardware type ${networkInterface.type})`,
      )
    }
    if (!networkInterface.up) throw downError('bind', networkInterface)
    return new PacketQueue(networkInterface, settings, openWay)
  }

  private constructor(
    networkInterface: NetworkInterface,
    settings: Pick<Settings, 'frames' | 'batch'>,
    open: typeof openWay,
  ) {
    const { frames, batch } = settings
    super(networkInterface, frames)
    this.batch = batch
    const link = new Link(networkInterface)
    const holder = this.table.slots.attach()
    let opened: Way
    try {
      opened = open(link, settings as Settings, holder, () => this.waiting.wake())
    } catch (error) {
      link.close()
      this.table.slots.detach(holder)
      throw error
    }
    this.link = opened.link ?? link
    this.holder = holder
    this.port = opened.port
    this.restore = opened.restore
    this.receiver = opened.receiver
    this.transmitter = opened.transmitter
    this.waiting = new Waiting(this.port, this.receiver, this.transmitter)
  }

  /** The way to the device. */
  get backend(): PacketBackend {
    return this.port.name
  }

  /** Whether frames move between device and arena without a copy. */
  get zeroCopy(): boolean {
    return this.port.zeroCopy
  }

  /** Which backend was chosen, how it works here, and why not another. */
  get report(): BackendReport {
    return Object.freeze({ ...this.port.report, carrier: this.link.carries() })
  }

  /** Whether the queue was closed. */
  get closed(): boolean {
    return this.ended
  }

  /**
   * What ended the last {@link submit} before all was accepted; null when nothing did, or the kernel or the device was just
   * full: then what was not accepted is {@link pending}, and goes with the next submit, or with {@link drain}.
   */
  get error(): VerbsError | null {
    return this.transmitter.error
  }

  /** Frames sent and not yet accepted by the kernel. */
  get pending(): number {
    return this.transmitter.pending
  }

  /** Bytes of the kernel's buffers as the kernel accounts them, twice what was asked for (socket(7)). */
  get bufferSizes(): { receive: number; send: number } {
    this.#open()
    return this.port.bufferSizes()
  }

  /**
   * The rings as they lie in memory, to look at: {@link ringLayouts} says where in them things are. Those of AF_XDP are
   * the kernel's own, and empty when the queue is closed; of several receive queues they are the first's.
   */
  get rings(): { fill: RingWords; receive: RingWords; transmit: RingWords; completion: RingWords } {
    const { fill, receive, transmit, completion } = this.port
    return {
      fill: fill.words,
      receive: receive.words,
      transmit: transmit.words,
      completion: completion.words,
    }
  }

  /** Where in {@link rings} the indices and records are, in words. */
  get ringLayouts(): { fill: RingLayout; receive: RingLayout; transmit: RingLayout; completion: RingLayout } {
    const { fill, receive, transmit, completion } = this.port
    return {
      fill: fill.layout,
      receive: receive.layout,
      transmit: transmit.layout,
      completion: completion.layout,
    }
  }

  // --- receive ---

  /**
   * Takes the frames that came, at most {@link batch}, without waiting: one native call, or none if {@link wait} has
   * fetched them. Their slots are `slot(0)` to `slot(n - 1)` until the next call, and the caller's until given back.
   *
   * @returns how many; 0 also when all frames are the caller's and there is none to receive into
   * @throws VerbsError ENETDOWN, ENODEV when the interface went down or away
   */
  receive(): number {
    this.#open()
    return this.receiver.receive()
  }

  /** The slot of the last batch's frame `i`. */
  slot(i: number): number {
    return this.receiver.slot(i)
  }

  /**
   * Gives a slot back: its frame is free.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  release(slot: number): void {
    this.#open()
    this.table.slots.release(slot)
  }

  // --- transmit ---

  /** A free frame to write into, from `offset(slot)` on; −1 when there is none. */
  claim(): number {
    this.#open()
    return this.transmitter.claim()
  }

  /**
   * Sends the caller's frame, claimed or received, on the next {@link submit}.
   *
   * @param length bytes from the destination address on, without the checksum: at least the 14 of the header
   * @param offset where in {@link memory} the frame begins, if not at `offset(slot)`
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a frame that is too short or leaves its place
   */
  send(slot: number, length: number, offset?: number): void {
    this.#open()
    if (offset === undefined) this.transmitter.send(slot, length)
    else this.transmitter.sendAt(slot, length, offset)
  }

  /**
   * Sends a received frame out again, from the same memory, on the next {@link submit}. Called on another queue with the
   * same {@link frames} it goes out there. It goes out as it would have on a wire: its {@link vlan} tag put back, a
   * partial checksum completed, a super-frame cut into its segments where the peer does not take it whole. All of that
   * the kernel does for AF_PACKET; AF_XDP refuses super-frames (EMSGSIZE). {@link send} sends what lies there.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  forward(slot: number): void {
    this.#open()
    const { table } = this
    const index = table.slots.index(slot)
    if (offloadsOf(table, index) !== 0) this.transmitter.offload(slot)
    else this.transmitter.send(slot, table.records[index * FrameRecord.words + FrameRecord.length])
  }

  /**
   * Sends the caller's frame, from `offset(slot)` on, and leaves its transport checksum to the kernel or the device, and
   * its cutting into segments if it is a super-frame (which with AF_XDP is refused with EMSGSIZE).
   *
   * @param length as of {@link send}; of a super-frame up to 64 KiB
   * @param checksumStart the byte from which on the checksum counts: where the UDP or TCP header begins, say
   * @param checksumOffset where from there the checksum stands, 6 of UDP and 16 of TCP, and now the sum of the
   *   pseudo-header does, not inverted
   * @param segmentType {@link SegmentType} of a super-frame
   * @param segmentSize its payload bytes a segment
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError
   */
  sendOffloaded(
    slot: number,
    length: number,
    checksumStart: number,
    checksumOffset: number,
    segmentType: number = SegmentType.none,
    segmentSize = 0,
  ): void {
    this.#open()
    const index = this.table.check(slot, length)
    requestOffload(this.table, index, length, checksumStart, checksumOffset, segmentType, segmentSize)
    this.transmitter.offload(slot)
  }

  /**
   * Hands what was sent to the kernel, in one native call and without waiting.
   *
   * What is accepted is free again. What is refused for its own sake (too long for the interface) is freed, counted,
   * and ends the call: {@link error} says why. What comes after it, or what the kernel has no room for, stays pending
   * for the next call; so does everything while the interface is down or has no carrier, which is an error (ENETDOWN).
   * What a device drops although it was handed to it (AF_XDP: EBUSY) is counted as refused and is no error.
   *
   * @returns how many frames the kernel accepted
   */
  submit(): number {
    this.#open()
    return this.transmitter.submit()
  }

  /**
   * Submits until nothing is pending, asleep while the kernel has no room.
   *
   * @throws VerbsError when a frame is refused or the interface is down or has no carrier; what comes after it is still pending.
   *   ERR_IBVERBS_BUSY, ERR_IBVERBS_CLOSED, the signal's reason
   */
  drain(options?: WaitOptions): Promise<void> {
    return this.waiting.drain(options)
  }

  // --- waiting ---

  /**
   * Waits, asleep on libuv's event loop, until there are frames to {@link receive}.
   *
   * @returns how many the next `receive()` will bring
   * @throws VerbsError ENETDOWN, ENODEV when the interface goes down or away, ENOBUFS when all frames are the caller's;
   *   ERR_IBVERBS_BUSY if somebody waits already, ERR_IBVERBS_CLOSED, the signal's reason
   */
  wait(options?: WaitOptions): Promise<number> {
    return this.waiting.wait(options)
  }

  /**
   * Waits like {@link wait}, but hot: looks for frames all the time, and lets timers and signals in every half a
   * millisecond.
   *
   * @param microseconds for how long
   * @returns how many the next `receive()` will bring; 0 when none came in time
   */
  spin(microseconds: number, options?: WaitOptions): Promise<number> {
    return this.waiting.spin(microseconds, options)
  }

  /**
   * `for await (const n of queue.batches({ signal }))`: {@link wait}, then {@link receive}, for ever. Ends when the
   * queue is closed, throws what they throw.
   */
  batches(options?: WaitOptions): AsyncGenerator<number, void, void> {
    this.#open()
    waitSignal(options)
    return this.#batches(options)
  }

  async *#batches(options?: WaitOptions): AsyncGenerator<number, void, void> {
    while (!this.ended) {
      try {
        await this.wait(options)
      } catch (error) {
        if (this.ended) return
        throw error
      }
      if (this.ended) return
      const n = this.receive()
      if (n > 0) yield n
    }
  }

  /** A pending {@link wait} keeps the process alive (the default). */
  ref(): this {
    this.waiting.reference(true)
    return this
  }

  /** A pending {@link wait} does not keep the process alive. */
  unref(): this {
    this.waiting.reference(false)
    return this
  }

  // --- the interface ---

  /** Receives frames to other stations too, or no longer (PACKET_MR_PROMISC). */
  setPromiscuous(on: boolean): void {
    this.#open()
    this.port.promiscuous(boolean('on', on))
  }

  /** Receives frames to a group address from now on; joining twice is joining once. */
  joinMulticast(group: MacAddress): void {
    this.#open()
    this.port.joinGroup(groupArgument('group', group))
  }

  /** No longer receives frames to a group; nothing happens if the queue is not in it. */
  leaveMulticast(group: MacAddress): void {
    this.#open()
    this.port.leaveGroup(groupArgument('group', group))
  }

  /** What went through since the queue was opened. */
  statistics(): PacketStatistics {
    this.#open()
    const { received, drops, truncated, xdp } = this.port.statistics(this.receiver)
    const { transmitted, refusals } = this.transmitter
    return {
      received,
      dropped: sumOf(drops),
      drops,
      truncated,
      transmitted,
      refused: sumOf(refusals),
      refusals: { ...refusals },
      invalid: this.receiver.invalid + this.transmitter.invalid,
      ...(xdp && { xdp }),
    }
  }

  // --- lifetime ---

  /**
   * Closes the queue; what is pending is not sent, whoever waits gets ERR_IBVERBS_CLOSED. Idempotent.
   *
   * @throws VerbsError when `channels` or `steer` cannot be taken back; the queue is closed all the same
   */
  close(): void {
    if (this.ended) return
    this.ended = true
    this.port.close()
    this.link.close()
    this.table.slots.detach(this.holder)
    this.transmitter.close()
    this.waiting.close()
    this.restore?.()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Sends what is pending, as far as the interface takes it, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    let before: number
    do {
      before = this.pending
      if (before > 0) await this.drain().catch(() => {})
    } while (!this.ended && this.pending > 0 && this.pending < before)
    this.close()
  }

  [inspect.custom](): string {
    const { name, mac, mtu } = this.interface
    const state = this.ended ? 'closed' : `${this.frames.free} of ${this.frames.frameCount} frames free`
    return `PacketQueue { ${name} (${mac}, MTU ${mtu}), ${this.backend}, batch ${this.batch}, ${state} }`
  }

  static {
    queueOver = (frames, batch, port, receiveFrames = frames.frameCount / 2) => {
      const macBytes = Uint8Array.of(2, 0, 0, 0, 0, 1)
      const device = {
        name: 'none',
        index: 0,
        type: 1,
        up: true,
        mtu: 1500,
        mac: formatMac(macBytes),
        macBytes,
      }
      return new PacketQueue(device as NetworkInterface, { frames, batch }, (state, _, holder) =>
        wayOver(port, state, frames, holder, batch, receiveFrames),
      )
    }
  }

  #open(): void {
    // Compared with true: V8 need not ask what else is truthy.
    if (this.ended === true) throw closedError('packet queue')
  }
}

import { inspect } from 'node:util'
import { boolean, options as optionsOf } from '../argument.js'
import { type VerbsError, verbsError } from '../errors.js'
import { formatMac, groupArgument, type MacAddress } from '../headers/mac.js'
import { ownCopy } from '../hot/own-copy.js'
import { cells, type RingLayout, type RingWords } from '../ring/ring.js'
import { type WaitOptions, waitSignal } from '../wait-options.js'
import { Batch } from './batch.js'
import { columnError } from './column-error.js'
import { downError } from './failure.js'
import type { FramePool } from './frames.js'
import { commonParts, refuseClosed } from './hot/common.js'
import type { SlotCalls, SlotParts } from './hot/parts.js'
import type { NetworkInterface } from './interface/interfaces.js'
import { Link } from './interface/link.js'
import { request as requestOffload, SegmentType } from './offload.js'
import { openWay } from './open.js'
import { type PacketQueueOptions, packetQueueOptionNames } from './options.js'
import type { Port, ReceivingEnd } from './port.js'
import type { QueueCalls, ReceivedColumns } from './queue-calls.js'
import { QueueFrames } from './queue-frames.js'
import type { QueueParts } from './queue-parts.js'
import { targetOf } from './raw-packet/rdma-port.js'
import { batchIndexError } from './receiver.js'
import type { BackendReport, PacketBackend } from './report.js'
import { type Settings, settingsOf } from './settings.js'
import { type PacketStatistics, sumOf } from './statistics.js'
import type { Transmitter } from './transmitter.js'
import { Waiting } from './waiting.js'
import { type Way, wayOver } from './way.js'

/**
 * A queue over a given port instead of an interface, for tests and benchmarks: see {@link Port}.
 *
 * @param port or a function that makes it, and gets what the port calls at an event
 * @param receiveFrames how many frames the fill ring holds
 */
export let queueOver: (
  frames: FramePool,
  batch: number,
  port: Port | ((onEvent: () => void) => Port),
  receiveFrames?: number,
) => PacketQueue

const ethernetTypes = [1 /* ARPHRD_ETHER */, 772 /* ARPHRD_LOOPBACK */]

export interface PacketQueue extends QueueCalls {}

/**
 * Sends and receives raw Ethernet frames on one network interface.
 *
 * Frames live in one arena ({@link memory}). A slot names a frame and is valid until the caller gives it back;
 * {@link FramePool} states the rule of ownership. The hot calls, {@link receive} and {@link submit}, enter native code
 * once a batch and allocate nothing. A queue belongs to the thread that opened it.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor defines every call of QueueCalls.
export class PacketQueue extends QueueFrames {
  /** The most frames that one {@link receive} takes. */
  declare readonly batch: number
  /** The frames of the last {@link receive}, in columns. */
  declare readonly columns: ReceivedColumns
  /** Frames sent and not yet accepted by the kernel. */
  readonly pending: number = 0
  /**
   * The error that ended the last {@link submit} before it accepted every frame. It is null when there was none, or
   * when the kernel or the device was only full: then the remaining frames are {@link pending} and go with the next
   * submit or {@link drain}.
   */
  readonly error: VerbsError | null = null
  declare private readonly port: Port
  declare private readonly link: Link
  declare private readonly holder: number
  declare private readonly receiver: ReceivingEnd
  declare private readonly transmitter: Transmitter
  declare private readonly waiting: Waiting
  /** Undoes the changes to the device: channels and steering rules. */
  declare private readonly restore: (() => void) | undefined
  /** One word: not 0 once the queue is closed. */
  private readonly ended = cells(1)

  /**
   * Opens a queue on an interface: with AF_PACKET, beside the kernel's own network stack, unless `backend` or
   * `exclusive` asks for AF_XDP or a raw packet queue pair, which take frames away from that stack. On a port of an
   * RDMA device, 'mlx5_0/1', it opens a raw packet queue pair.
   *
   * @throws VerbsError ENODEV (with a list of the interfaces there are), ENETDOWN, ENOTSUP for an interface that is not
   *   Ethernet, EPERM without CAP_NET_RAW (AF_XDP: and CAP_NET_ADMIN and CAP_BPF), EBUSY or EEXIST when another socket
   *   or program already uses AF_XDP there; TypeError, RangeError
   */
  static open(interfaceName: string, options?: PacketQueueOptions): PacketQueue {
    const { port, mtu } = optionsOf('options', options, packetQueueOptionNames)
    const { interface: networkInterface, rdma } = targetOf(interfaceName, port, mtu)
    const settings = settingsOf(networkInterface, options, rdma)
    if (!ethernetTypes.includes(networkInterface.type)) {
      throw verbsError(
        'ENOTSUP',
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
    const { frames } = settings
    super(networkInterface, frames)
    this.batch = settings.batch
    const batch = new Batch(settings.batch)
    const { slots, offsets, lengths, flags } = batch
    this.columns = Object.freeze({ slots, offsets, lengths, flags })
    const slotCalls = this.#slotCalls(batch)
    const link = new Link(networkInterface)
    const holder = this.table.slots.attach()
    const queue: QueueParts = {
      frames,
      batch,
      outcome: this,
      holder,
      closed: this.ended,
      onEvent: () => this.waiting.wake(),
    }
    let opened: Way
    try {
      opened = open(link, settings as Settings, queue)
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
    this.waiting = new Waiting(this.port, this.receiver, this.transmitter, this)
    this.#define({
      ...this.transmitter.calls,
      ...slotCalls,
      receive: this.receiver.receive,
    })
  }

  #slotCalls(batch: Batch): SlotCalls {
    const { table } = this
    const compile = ownCopy<(parts: SlotParts) => SlotCalls>(new URL('./hot/slots.cjs', import.meta.url))
    return compile({
      ...commonParts(table, this.ended),
      batch,
      fail: {
        slot: (slot) => table.slots.refuse(slot),
        batchIndex: batchIndexError,
        column: columnError,
        spill: () => table.slots.spill(),
      },
    })
  }

  /** The calls become the queue's own properties, which util.inspect() and Object.keys() do not show. */
  #define(calls: QueueCalls): void {
    for (const [name, value] of Object.entries(calls)) Object.defineProperty(this, name, { value })
  }

  /** The backend that moves the frames. */
  get backend(): PacketBackend {
    return this.port.name
  }

  /** Whether frames move between device and arena without a copy. */
  get zeroCopy(): boolean {
    return this.port.zeroCopy
  }

  /** The chosen backend, the features it has on this interface, and why the other backends are not used. */
  get report(): BackendReport {
    const { framesPerBuffer: strides = 1 } = this.port
    const { frameSize: strideBytes, frameCount } = this.frames
    const striding =
      strides > 1
        ? Object.freeze({
            ...{ strideBytes, strides, buffers: Math.floor(frameCount / strides) },
            copied: this.receiver.copied,
          })
        : null
    return Object.freeze({ ...this.port.report, striding, carrier: this.link.carries() })
  }

  /** Whether the queue is closed. */
  get closed(): boolean {
    return this.ended[0] !== 0
  }

  /** Bytes of the kernel's socket buffers as the kernel accounts them: twice the requested size (socket(7)). */
  get bufferSizes(): { receive: number; send: number } {
    this.#open()
    return this.port.bufferSizes()
  }

  /**
   * The rings as they lie in memory, for inspection; {@link ringLayouts} gives the places of their indices and records.
   * AF_XDP's rings are the kernel's own, and all zero once the queue is closed. A queue over several receive queues shows
   * the first one's.
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

  /** The places of the indices and records in {@link rings}, in words. */
  get ringLayouts(): { fill: RingLayout; receive: RingLayout; transmit: RingLayout; completion: RingLayout } {
    const { fill, receive, transmit, completion } = this.port
    return {
      fill: fill.layout,
      receive: receive.layout,
      transmit: transmit.layout,
      completion: completion.layout,
    }
  }

  // --- transmit ---

  /**
   * Sends the caller's frame, from `offset(slot)` on, and leaves its transport checksum to the kernel or the device, as
   * well as the segmentation of a super-frame (which AF_XDP refuses with EMSGSIZE).
   *
   * @param length as of {@link send}; of a super-frame up to 64 KiB
   * @param checksumStart the byte at which the checksummed range begins: the start of the UDP or TCP header, for
   *   example
   * @param checksumOffset the checksum's place from there, 6 for UDP and 16 for TCP; it must hold the sum of the
   *   pseudo-header, not inverted
   * @param segmentType {@link SegmentType} of a super-frame
   * @param segmentSize payload bytes of each of its segments
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
   * Submits until no frame is pending, and sleeps while the kernel has no room.
   *
   * @throws VerbsError when a frame is refused or the interface is down or has no carrier; the frames after it stay
   *   pending. ERR_IBVERBS_BUSY, ERR_IBVERBS_CLOSED, the signal's reason
   */
  drain(options?: WaitOptions): Promise<void> {
    return this.waiting.drain(options)
  }

  // --- waiting ---

  /**
   * Waits, asleep on libuv's event loop, until there are frames to {@link receive}.
   *
   * @returns how many the next `receive()` will take
   * @throws VerbsError ENETDOWN, ENODEV when the interface goes down or disappears, ENOBUFS when the caller holds all
   *   frames; ERR_IBVERBS_BUSY when another wait is pending, ERR_IBVERBS_CLOSED, the signal's reason
   */
  wait(options?: WaitOptions): Promise<number> {
    return this.waiting.wait(options)
  }

  /**
   * Waits like {@link wait}, but busy: polls for frames without sleeping, and lets timers and signals run every half
   * millisecond.
   *
   * @param microseconds the longest wait
   * @returns how many frames the next `receive()` will take; 0 when none came in time
   */
  spin(microseconds: number, options?: WaitOptions): Promise<number> {
    return this.waiting.spin(microseconds, options)
  }

  /**
   * `for await (const n of queue.batches({ signal }))`: repeats {@link wait} and {@link receive}. Ends when the queue
   * is closed, and throws the errors of both.
   */
  batches(options?: WaitOptions): AsyncGenerator<number, void, void> {
    this.#open()
    waitSignal(options)
    return this.#batches(options)
  }

  async *#batches(options?: WaitOptions): AsyncGenerator<number, void, void> {
    while (!this.closed) {
      try {
        await this.wait(options)
      } catch (error) {
        if (this.closed) return
        throw error
      }
      if (this.closed) return
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

  /** Turns the reception of frames to other stations on or off (PACKET_MR_PROMISC). */
  setPromiscuous(on: boolean): void {
    this.#open()
    this.port.promiscuous(boolean('on', on))
  }

  /** Joins a multicast group: the queue receives frames to its address. Joining again has no effect. */
  joinMulticast(group: MacAddress): void {
    this.#open()
    this.port.joinGroup(groupArgument('group', group))
  }

  /** Leaves a multicast group; no effect if the queue has not joined it. */
  leaveMulticast(group: MacAddress): void {
    this.#open()
    this.port.leaveGroup(groupArgument('group', group))
  }

  /** Counts of frames since the queue was opened. */
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
   * Closes the queue. Pending frames are not sent, and a pending wait rejects with ERR_IBVERBS_CLOSED. Idempotent.
   *
   * @throws VerbsError when `channels` or `steer` cannot be undone; the queue is closed nevertheless
   */
  close(): void {
    if (this.closed) return
    this.ended[0] = 1
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

  /** Sends the pending frames, as far as the interface accepts them, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    let before: number
    do {
      before = this.pending
      if (before > 0) await this.drain().catch(() => {})
    } while (!this.closed && this.pending > 0 && this.pending < before)
    this.close()
  }

  [inspect.custom](): string {
    const { name, mac, mtu } = this.interface
    const state = this.closed ? 'closed' : `${this.frames.free} of ${this.frames.frameCount} frames free`
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
      return new PacketQueue(device as NetworkInterface, { frames, batch }, (link, _, queue) =>
        wayOver(typeof port === 'function' ? port(queue.onEvent) : port, link, queue, receiveFrames),
      )
    }
  }

  #open(): void {
    if (this.closed) refuseClosed()
  }
}

import { constants } from 'node:os'
import { rangeError } from '../../argument.js'
import { VerbsError } from '../../errors.js'
import { compileFilter } from '../../filter/compile.js'
import { xdpFilter } from '../../filter/xdp.js'
import { redirectToSocket } from '../../flow/xdp.js'
import type { XdpInstruction } from '../../flow/xdp-assembler.js'
import { formatMac } from '../../headers/mac.js'
import { Kind, native } from '../../native.js'
import { AddressRecord, allocateRing, Consumer, cells, DescriptorRecord, Producer } from '../../ring/ring.js'
import { Membership, maxGroups } from '../af-packet/accept.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import type { Link, LinkNews } from '../interface/link.js'
import { takesTagsOut } from '../interface/offload-settings.js'
import { type Bell, type Hint, type Port, type ReceiveCounts, unlimited } from '../port.js'
import type { WayReport } from '../report.js'
import type { Settings } from '../settings.js'
import type { PortStatistics } from '../statistics.js'
import { xdpProgram } from './program.js'
import { attachProgram, chunkSizeOf, openSocket, type XdpSetup } from './setup.js'

const headerBytes = 14
/** XDP_RING_NEED_WAKEUP, linux/if_xdp.h */
const needWakeup = 1
const { ENETDOWN, ENOBUFS, EAGAIN, EBUSY } = constants.errno

/**
 * AF_XDP (Documentation/networking/af_xdp.rst in the kernel) in the ring vocabulary.
 *
 * Descriptor: the kernel's own, in the kernel's own rings, which this thread reads and writes. Hand-over: their
 * indices. Doorbell: sendto(2), only when the transmit ring's need_wakeup flag asks for it, as it always does where the
 * kernel copies; recvfrom(2) when the fill ring's flag does. An empty look is one atomic load.
 */
export class AfXdp implements Port {
  readonly name = 'af_xdp'
  readonly describes = false
  readonly scarce = unlimited
  readonly completesOnKick = false
  readonly failing = false
  readonly syscalls = { receive: 'poll', transmit: 'sendto' }
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  readonly chunkSize: number
  readonly longest = cells(1)
  /** errno of a link event that was not reported yet, as SO_ERROR is; 0 for none. The sockets of a queue share it. */
  readonly attention: Int32Array
  /** Whether the fill ring's doorbell wants to be rung. */
  readonly hint?: Hint
  readonly transmitBell: Bell
  dropped = 0
  #report: WayReport
  readonly #handle: number
  // Held here: a call through the addon's object looks the property up each time.
  readonly #receiveBatch = native.ethernet.xdp.receive
  readonly #setup: XdpSetup
  readonly #link: Link
  readonly #networkInterface: NetworkInterface
  readonly #settings: Settings
  readonly #fillFlags: number
  readonly #transmitFlags: number
  readonly #groups: Map<string, Uint8Array>
  readonly #onEvent: () => void
  readonly #queueId: number
  readonly #receiveFrames: number
  /** The filter's program; undefined: every frame. */
  readonly #filter: XdpInstruction[] | undefined
  readonly #takesTagsOut: boolean
  #promiscuous: boolean
  #closed = false

  /**
   * @param queueId of the device
   * @param receiveFrames how many frames the fill ring holds
   * @param first the port of another queue of the same device, which watches the interface
   * @param onEvent called on libuv's loop after {@link arm}, and when the interface goes down or disappears
   * @throws VerbsError EPERM without CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, EBUSY or EEXIST when another socket has
   *   the queue or another program the interface, and any error of socket(2), setsockopt(2), bind(2) or bpf(2)
   */
  constructor(
    link: Link,
    settings: Settings,
    queueId: number,
    receiveFrames: number,
    onEvent: () => void,
    first?: AfXdp,
  ) {
    this.#queueId = queueId
    this.#receiveFrames = receiveFrames
    this.attention = first ? first.attention : cells(1)
    const device = link.interface
    this.#link = link
    this.#networkInterface = device
    this.#settings = settings
    this.#onEvent = onEvent
    this.#groups = new Map(settings.groups.map((group) => [formatMac(group), group]))
    this.#promiscuous = settings.promiscuous
    this.longest[0] = device.mtu + headerBytes
    this.#takesTagsOut = takesTagsOut(device.name)
    this.chunkSize = chunkSizeOf(settings)
    if (settings.filter !== undefined) {
      const program = compileFilter(settings.filter, 'wire')
      this.#filter = xdpFilter(program, redirectToSocket(0), settings.filter)
    }
    if (!first) link.listen(this.#linkChanged)
    this.#setup = openSocket(device, settings, queueId, receiveFrames, onEvent)
    this.#handle = this.#setup.handle
    this.#report = this.#setup.report
    const { fill, receive, transmit, completion } = this.#setup.rings
    this.fill = new Producer(fill.words, AddressRecord.words, fill.layout)
    this.receive = receive
      ? new Consumer(receive.words, DescriptorRecord.words, receive.layout)
      : new Consumer(allocateRing(1, DescriptorRecord.words), DescriptorRecord.words)
    this.transmit = new Producer(transmit.words, DescriptorRecord.words, transmit.layout)
    this.completion = new Consumer(completion.words, AddressRecord.words, completion.layout)
    this.#fillFlags = fill.flags
    this.#transmitFlags = transmit.flags
    if (settings.busyPoll === 0) {
      this.hint = { words: fill.words, at: cells(1).fill(fill.flags), cell: 0, bits: needWakeup }
    }
    const mailbox = cells(1)
    this.transmitBell = { ring: native.ethernet.xdp.transmitBell(this.#handle, mailbox), mailbox }
    try {
      if (settings.promiscuous) this.#membership(true, Membership.promiscuous)
      if (settings.allMulticast) this.#membership(true, Membership.allMulticast)
      for (const group of this.#groups.values()) this.#membership(true, Membership.multicast, group)
    } catch (error) {
      this.close()
      throw error
    }
  }

  get zeroCopy(): boolean {
    return this.#report.zeroCopy
  }

  /** Without a copy the transmit ring is the device's own. */
  get takesAll(): boolean {
    return this.#report.zeroCopy
  }

  get report(): WayReport {
    // The kernel accepts the options on any device; the first frame shows whether there is a NAPI instance to poll.
    if (this.#settings.busyPoll === 0 || this.receive.index === 0 || this.#closed) return this.#report
    if (native.ethernet.xdp.napi(this.#handle) !== 0) return this.#report
    const why = `"${this.#networkInterface.name}" has no NAPI here (SO_INCOMING_NAPI_ID): there is nothing to poll`
    return Object.freeze({ ...this.#report, notUsed: [...this.#report.notUsed, { what: 'busyPoll', why }] })
  }

  /** Attaches the program: frames come from now on. Called when the fill ring holds frames. */
  start(): void {
    if (this.#settings.transmitOnly) return
    try {
      this.#report = attachProgram(this.#setup, this.#networkInterface, this.#queueId, this.#program())
    } catch (error) {
      this.close()
      throw error
    }
  }

  poll(): number {
    const errno = this.attention[0]
    if (errno !== 0) {
      this.attention[0] = 0
      return -errno
    }
    const asked = (Atomics.load(this.fill.words, this.#fillFlags) & needWakeup) !== 0
    if (asked || this.#settings.busyPoll > 0) {
      const status = this.#receiveBatch(this.#handle)
      if (status < 0 && status !== -EAGAIN && status !== -EBUSY) return status
    }
    return this.receive.available()
  }

  kick(): number {
    if (this.zeroCopy && (Atomics.load(this.transmit.words, this.#transmitFlags) & needWakeup) === 0) return 0
    this.transmitBell.ring()
    return this.kicked(this.transmitBell.mailbox[0])
  }

  kicked(status: number): number {
    if (this.zeroCopy) return status === -EAGAIN || status === -EBUSY ? 0 : status
    const { ring, mailbox } = this.transmitBell
    for (let before = -1, asked = false; ; ) {
      const after = this.transmit.outstanding()
      // EBUSY: the device has dropped the last frame of the call (xsk_generic_xmit in the kernel), as it does with
      // every frame while there is no carrier.
      if (status === -EBUSY) {
        this.dropped++
        if (!asked && !this.#link.carries()) return -ENETDOWN
        asked = true
      }
      if (after === 0) return 0
      // EAGAIN means a full send buffer as well as a call's used-up budget.
      if (status < 0 && status !== -EAGAIN && status !== -EBUSY) return status
      if (after === before) return -ENOBUFS
      before = after
      ring()
      status = mailbox[0]
    }
  }

  arm(readable: boolean, writable: boolean, referenced: boolean): void {
    native.ethernet.xdp.arm(this.#handle, readable, writable, referenced)
  }

  disarm(): void {
    native.ethernet.xdp.disarm(this.#handle)
  }

  promiscuous(on: boolean): void {
    if (on === this.#promiscuous) return
    this.#membership(on, Membership.promiscuous)
    this.#promiscuous = on
    this.#replace()
  }

  joinGroup(group: Uint8Array): void {
    const mac = formatMac(group)
    if (this.#groups.has(mac)) return
    if (this.#groups.size === maxGroups) {
      throw rangeError(
        'group',
        `one of at most ${maxGroups} that a queue joins (or open with multicast: 'all')`,
        mac,
      )
    }
    this.#membership(true, Membership.multicast, group)
    this.#groups.set(mac, group)
    this.#replace()
  }

  leaveGroup(group: Uint8Array): void {
    if (!this.#groups.delete(formatMac(group))) return
    this.#membership(false, Membership.multicast, group)
    this.#replace()
  }

  statistics({ received, truncated }: ReceiveCounts): PortStatistics {
    const counters = native.ethernet.xdp.statistics(this.#handle)
    let waiting = 0
    for (let i = this.receive.available() - 1; i >= 0; i--) {
      if (!this.receive.more(this.receive.at(i))) waiting++
    }
    const { receiveRingFull, dropped } = counters
    // A frame that finds the fill ring empty also counts as dropped. An empty look into it without a frame, as a
    // zero-copy device makes, does not (xp_alloc and xsk_rcv in net/xdp).
    const fillRingEmpty = Math.min(dropped, counters.fillRingEmpty)
    return {
      received: received + waiting,
      truncated,
      drops: { receiveRingFull, fillRingEmpty, other: dropped - fillRingEmpty },
      xdp: counters,
    }
  }

  bufferSizes(): { receive: number; send: number } {
    const { frames, transmitOnly } = this.#settings
    return {
      receive: transmitOnly ? 0 : this.#receiveFrames * frames.frameSize,
      send: native.ethernet.xdp.sendBuffer(this.#handle),
    }
  }

  close(): void {
    this.#closed = true
    native.close(this.#handle, Kind.XdpSocket)
  }

  readonly #linkChanged = ({ up, mtu }: LinkNews): void => {
    if (mtu > 0) this.longest[0] = mtu + headerBytes
    if (up) return
    this.attention[0] = ENETDOWN
    this.#onEvent()
  }

  #membership(add: boolean, type: number, group?: Uint8Array): void {
    native.ethernet.xdp.membership(this.#handle, add, type, group)
  }

  #program(): Uint32Array {
    return xdpProgram({
      own: this.#networkInterface.macBytes,
      promiscuous: this.#promiscuous,
      allMulticast: this.#settings.allMulticast,
      groups: [...this.#groups.values()],
      flows: this.#settings.flows,
      filter: this.#filter,
      // On a device that strips tags, a rule on a tag is refused rather than widened.
      vlanInFrame: !this.#takesTagsOut,
      // The kernel keeps XDP_PACKET_HEADROOM, 256 bytes, before the frame; buffers are at most a page.
      firstBuffer: Math.min(this.chunkSize, 4096) - this.#settings.frames.headroom - 256,
    })
  }

  #replace(): void {
    if (this.#report.mode === null) return
    const status = native.ethernet.xdp.replace(this.#handle, this.#program())
    if (status < 0) throw new VerbsError(-status, 'bpf', 'BPF_LINK_UPDATE')
  }
}

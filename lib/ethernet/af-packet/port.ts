import { rangeError } from '../../argument.js'
import { compileFilter } from '../../filter/compile.js'
import { both, classicProgram } from '../../flow/classic.js'
import { formatMac } from '../../headers/mac.js'
import { Kind, native } from '../../native.js'
import { LocalConsumer, LocalProducer } from '../../ring/local.js'
import {
  AddressRecord,
  allocateRing,
  type Consumer,
  cells,
  completedInPlace,
  DescriptorRecord,
  type Producer,
  type RingWords,
} from '../../ring/ring.js'
import { arenaFramesOf } from '../arena-frames.js'
import { queueCount } from '../interface/channels.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import { offloadsOf } from '../offload.js'
import { type Bell, type Hint, type Port, unlimited } from '../port.js'
import type { WayReport } from '../report.js'
import type { Settings } from '../settings.js'
import type { PortStatistics } from '../statistics.js'
import { acceptProgram, Membership, maxGroups } from './accept.js'
import { type Fanout, joinFanout } from './fanout.js'

/** Protocols for bind(2); ETH_P_ALL of linux/if_ether.h */
const noProtocol = 0
const everyProtocol = 3
const defaultReceiveBuffer = 2 ** 24
const defaultRing = 2 ** 23
/** Ethernet header, two VLAN tags */
const overhead = 14 + 8
/**
 * The ring's slot size for an interface of a larger MTU, such as lo: most of its frames are short, and longer ones come
 * through the socket.
 */
const jumbo = { mtu: 9216, slot: 2048 } as const
/** TP_STATUS_USER, linux/if_packet.h: the slot holds a frame, and the kernel has finished with it. */
const statusUser = 1
/**
 * Empty looks at the ring after which the binding checks the socket for an error, which the ring does not show; hot
 * code passes on one look in 256. The check, getsockopt(2), takes as long as a round trip.
 */
const patience = 256
/** A program that accepts no frame. */
const nothing = Uint32Array.of(6, 0, 0, 0)

/**
 * AF_PACKET (packet(7)) in the ring vocabulary.
 *
 * Descriptor: AF_XDP's. Hand-over: none is needed; the rings lie between this thread and the binding, which reads and
 * writes them during the two calls, and a frame is completed when its descriptor is consumed. Doorbell: sendmmsg(2),
 * one a batch, to send. Received frames come through the kernel's own ring (PACKET_MMAP, TPACKET_V2), whose hand-over
 * is a slot's status word, the hint here; the binding takes the frames out. Where that ring does not work, they come by
 * recvmmsg(2).
 */
export class AfPacket implements Port {
  readonly name = 'af_packet'
  readonly zeroCopy = false
  readonly describes = true
  readonly scarce = 0
  readonly chunkSize: number
  readonly longest = cells(1).fill(unlimited)
  readonly attention = cells(1)
  readonly receiveBell: Bell
  readonly transmitBell: Bell
  readonly hint?: Hint
  readonly takesAll = false
  readonly completesOnKick = false
  readonly dropped = 0
  readonly failing = false
  readonly offload = offloadsOf
  readonly syscalls: { receive: string; transmit: string }
  readonly report: WayReport
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  readonly #handle: number
  readonly #groups: Map<string, Uint8Array>
  readonly #allMulticast: boolean
  /** The flow rules' program; undefined: every frame. */
  readonly #flows: Uint32Array | undefined
  /** The filter's program; undefined: every frame. */
  readonly #filterProgram: Uint32Array | undefined
  readonly #ring: RingWords | undefined
  #promiscuous = false
  #empty = 0

  /**
   * @param onEvent called on libuv's loop after {@link arm}
   * @param notUsed the backends tried before, with the reasons
   * @throws VerbsError EPERM without CAP_NET_RAW, and any error of socket(2), bind(2) or setsockopt(2)
   */
  constructor(
    networkInterface: NetworkInterface,
    settings: Settings,
    onEvent: () => void,
    notUsed: WayReport['notUsed'],
  ) {
    const { frames, batch, receiveFrames } = settings
    const addresses = (records: number) => allocateRing(records, AddressRecord.words)
    const descriptors = (records: number) => allocateRing(records, DescriptorRecord.words)
    this.fill = new LocalProducer(addresses(receiveFrames.af_packet), AddressRecord.words)
    this.receive = new LocalConsumer(descriptors(batch), DescriptorRecord.words)
    this.transmit = new LocalProducer(descriptors(frames.frameCount), DescriptorRecord.words)
    this.completion = new LocalConsumer(
      this.transmit.words,
      DescriptorRecord.words,
      completedInPlace(this.transmit.layout),
    )
    this.chunkSize = frames.frameSize
    this.#groups = new Map(settings.groups.map((group) => [formatMac(group), group]))
    this.#allMulticast = settings.allMulticast
    this.#flows = settings.flows && classicProgram(settings.flows, 'options.flows')
    if (settings.filter !== undefined) {
      this.#filterProgram = compileFilter(settings.filter, 'socket', networkInterface.name)
    }
    this.#handle = native.ethernet.open({
      ...arenaFramesOf(frames),
      interfaceIndex: networkInterface.index,
      batch,
      outgoing: settings.outgoing,
      transmitOnly: settings.transmitOnly,
      receiveBuffer: settings.receiveBuffer ?? defaultReceiveBuffer,
      sendBuffer: settings.sendBuffer,
      // Until it has joined its group, a queue would receive every frame itself, beside the group's queues.
      filter: settings.fanout ? nothing : this.#filter(settings.promiscuous),
      fill: this.fill.words,
      receive: this.receive.words,
      transmit: this.transmit.words,
      onEvent: () => {
        // The socket may hold an error.
        this.attention[0] = 1
        onEvent()
      },
    })
    const [received, sent] = [cells(2), cells(1)]
    this.receiveBell = { ring: native.ethernet.receiveBell(this.#handle, received), mailbox: received }
    this.transmitBell = { ring: native.ethernet.transmitBell(this.#handle, sent), mailbox: sent }
    const obstacles = [...notUsed]
    let fanout: Fanout | null = null
    try {
      this.#ring = this.#openRing(networkInterface, settings, obstacles)
      if (this.#ring) this.hint = { words: this.#ring, at: received, cell: 1, bits: statusUser }
      if (settings.timestamps) native.ethernet.timestamps(this.#handle, settings.timestamps === 'hardware')
      // Bound to one protocol, the kernel delivers no outgoing frames, and VLAN-tagged frames without their tag and as
      // another host's. The socket therefore takes all protocols, and the program matches the EtherType too.
      native.ethernet.bind(this.#handle, settings.transmitOnly ? noProtocol : everyProtocol)
      if (settings.fanout) {
        fanout = joinFanout(this.#handle, settings.fanout, settings.outgoing)
        native.ethernet.filter(this.#handle, this.#filter(settings.promiscuous))
      }
      if (settings.promiscuous) this.promiscuous(true)
      if (settings.allMulticast) native.ethernet.membership(this.#handle, true, Membership.allMulticast)
      for (const group of this.#groups.values()) this.#membership(true, group)
    } catch (error) {
      this.close()
      throw error
    }
    const messages = settings.receivePath === 'recvmmsg' || obstacles.length > notUsed.length
    const path = messages ? 'recvmmsg' : 'ring'
    this.syscalls = { receive: messages ? 'recvmmsg' : 'poll', transmit: 'sendmmsg' }
    this.report = Object.freeze({
      backend: this.name,
      zeroCopy: false,
      receivePath: settings.transmitOnly ? null : path,
      mode: null,
      multiBuffer: false,
      sharedMemory: false,
      queueId: null,
      queues: queueCount(networkInterface.name),
      fanout,
      untold: [],
      notUsed: obstacles,
    })
  }

  poll(): number {
    const { hint, attention, receiveBell } = this
    if (hint && attention[0] === 0 && ++this.#empty < patience) {
      if ((Atomics.load(hint.words, hint.at[hint.cell]) & hint.bits) === 0) return 0
    }
    attention[0] = 0
    this.#empty = 0
    receiveBell.ring()
    return receiveBell.mailbox[0]
  }

  kick(): number {
    this.transmitBell.ring()
    return this.transmitBell.mailbox[0]
  }

  arm(readable: boolean, writable: boolean, referenced: boolean): void {
    native.ethernet.arm(this.#handle, readable, writable, referenced)
  }

  disarm(): void {
    native.ethernet.disarm(this.#handle)
  }

  promiscuous(on: boolean): void {
    if (on === this.#promiscuous) return
    native.ethernet.membership(this.#handle, on, Membership.promiscuous)
    this.#promiscuous = on
    this.#refilter(() => {
      this.#promiscuous = !on
      native.ethernet.membership(this.#handle, !on, Membership.promiscuous)
    })
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
    this.#membership(true, group)
    this.#groups.set(mac, group)
    this.#refilter(() => {
      this.#groups.delete(mac)
      this.#membership(false, group)
    })
  }

  leaveGroup(group: Uint8Array): void {
    const mac = formatMac(group)
    if (!this.#groups.delete(mac)) return
    this.#refilter(() => this.#groups.set(mac, group))
    this.#membership(false, group)
  }

  statistics(): PortStatistics {
    const { received, truncated, dropped, undescribed } = native.ethernet.statistics(this.#handle)
    const drops = this.#ring ? { receiveRingFull: dropped } : { receiveBufferFull: dropped, undescribed }
    return { received, truncated, drops }
  }

  bufferSizes(): { receive: number; send: number } {
    return native.ethernet.bufferSizes(this.#handle)
  }

  close(): void {
    native.close(this.#handle, Kind.PacketSocket)
  }

  #openRing(
    networkInterface: NetworkInterface,
    settings: Settings,
    notUsed: { what: string; why: string }[],
  ): RingWords | undefined {
    if (settings.transmitOnly || settings.receivePath === 'recvmmsg') return undefined
    const { frameSize, headroom } = settings.frames
    const longest = networkInterface.mtu > jumbo.mtu ? jumbo.slot : networkInterface.mtu + overhead
    const payload = Math.min(frameSize - headroom, longest)
    try {
      return native.ethernet.ring(this.#handle, settings.receiveBuffer ?? defaultRing, payload)
    } catch (error) {
      if (settings.receivePath === 'ring') throw error
      notUsed.push({ what: 'ring', why: (error as Error).message })
      return undefined
    }
  }

  #membership(add: boolean, group: Uint8Array): void {
    native.ethernet.membership(this.#handle, add, Membership.multicast, group)
  }

  #filter(promiscuous: boolean): Uint32Array {
    const groups = [...this.#groups.values()]
    const accepted = acceptProgram({ promiscuous, allMulticast: this.#allMulticast, groups })
    const flowing = this.#flows ? both(accepted, this.#flows, 'options.flows') : accepted
    return this.#filterProgram ? both(flowing, this.#filterProgram, 'options.filter', 'of') : flowing
  }

  /** @param undo called when the program does not fit, as can happen beside many flow rules */
  #refilter(undo: () => void): void {
    try {
      native.ethernet.filter(this.#handle, this.#filter(this.#promiscuous))
    } catch (error) {
      undo()
      throw error
    }
  }
}

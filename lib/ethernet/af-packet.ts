import { rangeError } from '../argument.js'
import { Kind, native } from '../native.js'
import { AddressRecord, allocateRing, Consumer, DescriptorRecord, Producer } from '../ring/ring.js'
import { acceptProgram, Membership, maxGroups } from './accept.js'
import type { Backend } from './backend.js'
import { both, classicProgram } from './flow/classic.js'
import { tableOf } from './frames.js'
import type { NetworkInterface } from './interfaces.js'
import { formatMac } from './mac.js'
import type { Settings } from './options.js'
import type { BackendReport } from './report.js'
import type { BackendStatistics } from './statistics.js'

/** Of bind(2); ETH_P_ALL of linux/if_ether.h */
const noProtocol = 0
const everyProtocol = 3
const defaultReceiveBuffer = 2 ** 24

/**
 * AF_PACKET (packet(7)) in the ring vocabulary.
 *
 * Descriptor: AF_XDP's. Hand-over: none is needed, the rings are between this thread and the binding, which reads and
 * writes them inside the two calls. Bell: recvmmsg(2) and sendmmsg(2), one a batch; the kernel copies every frame.
 */
export class AfPacket implements Backend {
  readonly name = 'af_packet'
  readonly zeroCopy = false
  readonly syscalls = { receive: 'recvmmsg', transmit: 'sendmmsg' }
  readonly report: BackendReport
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  readonly #handle: number
  readonly #groups: Map<string, Uint8Array>
  readonly #allMulticast: boolean
  /** What the flow rules accept; undefined: every frame. */
  readonly #flows: Uint32Array | undefined
  #promiscuous = false

  /**
   * @param onEvent called on libuv's loop after {@link arm}
   * @param notUsed what was tried before
   * @throws VerbsError EPERM without CAP_NET_RAW, and whatever else socket(2), bind(2) or setsockopt(2) say
   */
  constructor(
    device: NetworkInterface,
    settings: Settings,
    onEvent: () => void,
    notUsed: BackendReport['notUsed'],
  ) {
    const { frames, batch, receiveFrames } = settings
    this.report = Object.freeze({
      backend: this.name,
      zeroCopy: false,
      mode: null,
      multiBuffer: false,
      queueId: null,
      queues: native.ethernet.xdp.channels(device.name),
      notUsed,
    })
    this.fill = new Producer(allocateRing(receiveFrames.af_packet, AddressRecord.words), AddressRecord.words)
    this.receive = new Consumer(allocateRing(batch, DescriptorRecord.words), DescriptorRecord.words)
    this.transmit = new Producer(
      allocateRing(frames.frameCount, DescriptorRecord.words),
      DescriptorRecord.words,
    )
    this.completion = new Consumer(allocateRing(frames.frameCount, AddressRecord.words), AddressRecord.words)
    this.#groups = new Map(settings.groups.map((group) => [formatMac(group), group]))
    this.#allMulticast = settings.allMulticast
    this.#flows = settings.flows && classicProgram(settings.flows, 'options.flows')
    this.#handle = native.ethernet.open({
      interfaceIndex: device.index,
      protocol: settings.transmitOnly ? noProtocol : (settings.etherType ?? everyProtocol),
      batch,
      frameSize: frames.frameSize,
      headroom: frames.headroom,
      outgoing: settings.outgoing,
      timestamps: settings.timestamps,
      receiveBuffer: settings.receiveBuffer ?? defaultReceiveBuffer,
      sendBuffer: settings.sendBuffer,
      filter: this.#filter(settings.promiscuous),
      arena: frames.arena.bytes,
      frames: tableOf(frames).records,
      fill: this.fill.words,
      receive: this.receive.words,
      transmit: this.transmit.words,
      completion: this.completion.words,
      onEvent,
    })
    try {
      if (settings.promiscuous) this.promiscuous(true)
      if (settings.allMulticast) native.ethernet.membership(this.#handle, true, Membership.allMulticast)
      for (const group of this.#groups.values()) this.#membership(true, group)
    } catch (error) {
      this.close()
      throw error
    }
  }

  poll(): number {
    return native.ethernet.receive(this.#handle)
  }

  kick(): number {
    return native.ethernet.transmit(this.#handle)
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

  statistics(): BackendStatistics {
    const { received, truncated, dropped } = native.ethernet.statistics(this.#handle)
    return { received, truncated, drops: { receiveBufferFull: dropped } }
  }

  bufferSizes(): { receive: number; send: number } {
    return native.ethernet.bufferSizes(this.#handle)
  }

  close(): void {
    native.close(this.#handle, Kind.PacketSocket)
  }

  #membership(add: boolean, group: Uint8Array): void {
    native.ethernet.membership(this.#handle, add, Membership.multicast, group)
  }

  #filter(promiscuous: boolean): Uint32Array {
    const groups = [...this.#groups.values()]
    const accepted = acceptProgram({ promiscuous, allMulticast: this.#allMulticast, groups })
    return this.#flows ? both(accepted, this.#flows, 'options.flows') : accepted
  }

  /** @param undo what to do when the program does not fit, as may be beside the one of many flow rules */
  #refilter(undo: () => void): void {
    try {
      native.ethernet.filter(this.#handle, this.#filter(this.#promiscuous))
    } catch (error) {
      undo()
      throw error
    }
  }
}

import { constants } from 'node:os'
import { VerbsError, verbsError } from '../../errors.js'
import { idOf } from '../../handle.js'
import { native } from '../../native.js'
import { LocalConsumer, LocalProducer } from '../../ring/local.js'
import {
  AddressRecord,
  allocateRing,
  type Consumer,
  cells,
  DescriptorRecord,
  type Producer,
} from '../../ring/ring.js'
import { CompletionStatus, nameOf } from '../../verbs/constants.js'
import type { Context } from '../../verbs/context.js'
import { open as openContext } from '../../verbs/device.js'
import { MemoryRegion } from '../../verbs/memory-region.js'
import { QueuePair } from '../../verbs/queue-pair/queue-pair.js'
import { arenaFramesOf } from '../arena-frames.js'
import { FrameRecord, type FrameTable } from '../frames.js'
import { queueCount } from '../interface/channels.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import { offloadsOf, SegmentType, segmentTypeOf } from '../offload.js'
import type { Settings } from '../options.js'
import { type Bell, type Port, type ReceiveCounts, unlimited } from '../port.js'
import type { WayReport } from '../report.js'
import type { PortStatistics } from '../statistics.js'
import type { RdmaPort } from './rdma-port.js'
import { RawSteering } from './steering.js'

const { ENETDOWN, ENODEV, EIO } = constants.errno as Record<string, number>
/** The most sends under way: more than any batch, and little of the device's memory. */
const sendDepth = 1024
/** Receives the rest of a frame that exceeds its place: the frame is truncated, and the queue pair goes on. */
const overflowBytes = 2 ** 16
const headerBytes = 14

/**
 * A raw packet queue pair (ibv_create_qp(3)) in the ring vocabulary.
 *
 * Descriptor: AF_XDP's here; the binding translates it to the device's own. Hand-over: none is needed; the rings lie
 * between this thread and the binding, and the device's rings are libibverbs' (the owner bit of a completion, behind
 * ibv_poll_cq). Doorbell: ibv_post_send and ibv_post_recv, one chain a batch; the device reads and writes the frames in
 * place.
 */
export class RawPacket implements Port {
  readonly name = 'raw_packet_qp'
  readonly zeroCopy = true
  readonly describes = true
  readonly scarce: number
  readonly chunkSize: number
  readonly longest = cells(1).fill(unlimited)
  /** errno of a port event that was not reported yet. */
  readonly attention = cells(1)
  readonly transmitAttention = this.attention
  readonly receiveBell: Bell
  readonly transmitBell: Bell
  readonly takesAll = false
  readonly completesOnKick = true
  readonly dropped = 0
  readonly syscalls = { receive: 'ibv_poll_cq', transmit: 'ibv_post_send' }
  readonly report: WayReport
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  /** How many frames stand ready to receive into: the requested number, or the device's limit. */
  readonly receiveDepth: number
  /** Whether the device computes checksums on transmit. */
  readonly checksums: boolean
  readonly #context: Context
  readonly #handle: number
  readonly #steering: RawSteering
  readonly #settings: Settings
  readonly #networkInterface: NetworkInterface
  readonly #port: number
  readonly #sendDepth: number
  readonly #onEvent: () => void
  #stopWatching = (): void => {}
  #awaited = false
  #counted = false
  #gone = false
  /** The device has failed a request. */
  failing = false
  /** Called when the port goes down or comes up. */
  onPort: ((active: boolean) => void) | undefined

  /**
   * @param onEvent called on libuv's loop after {@link arm}, and when the port goes down or the device is removed
   * @param notUsed the backends tried before, with the reasons
   * @throws VerbsError EPERM without CAP_NET_RAW, ENOTSUP from a device without raw packet queue pairs, ENOMEM where
   *   too little memory may be locked
   */
  constructor(
    networkInterface: NetworkInterface,
    { rdmaDevice: name, port }: RdmaPort,
    settings: Settings,
    onEvent: () => void,
    notUsed: WayReport['notUsed'],
  ) {
    const { frames, batch, transmitOnly } = settings
    this.#networkInterface = networkInterface
    this.#port = port
    this.#settings = settings
    this.#onEvent = onEvent
    this.#context = openContext(name)
    try {
      const { limits } = this.#context
      assertLinkLayer(this.#context, port)
      this.checksums = limits.rawPacketCapabilities.includes('IP_CSUM')
      if (settings.transmitChecksum && !this.checksums) {
        throw verbsError(
          'ENOTSUP',
          'ibv_post_send',
          `"options.transmitChecksum": ${name} computes no checksums`,
        )
      }
      this.#sendDepth = Math.min(sendDepth, frames.frameCount, limits.maxQpWr)
      this.receiveDepth = transmitOnly ? 0 : Math.min(settings.receiveFrames.raw_packet_qp, limits.maxQpWr)
      this.report = Object.freeze({
        backend: this.name,
        zeroCopy: true,
        receivePath: null,
        mode: null,
        multiBuffer: false,
        sharedMemory: false,
        queueId: null,
        queues: networkInterface.index === 0 ? 0 : queueCount(networkInterface.name),
        fanout: null,
        untold: [],

        notUsed,
      })
      const addresses = (records: number) => allocateRing(records, AddressRecord.words)
      const descriptors = (records: number) => allocateRing(records, DescriptorRecord.words)
      const completions = Math.max(frames.frameCount, this.#sendDepth * 2)
      this.fill = new LocalProducer(addresses(Math.max(1, this.receiveDepth)), AddressRecord.words)
      this.receive = new LocalConsumer(descriptors(batch), DescriptorRecord.words)
      this.transmit = new LocalProducer(descriptors(frames.frameCount), DescriptorRecord.words)
      this.completion = new LocalConsumer(addresses(completions), AddressRecord.words)
      this.chunkSize = frames.frameSize
      this.scarce = this.receiveDepth - (this.receiveDepth >> 3)

      const domain = this.#context.allocateProtectionDomain()
      const region = domain.registerMemory(frames.arena, { access: ['LOCAL_WRITE'] })
      const overflow = domain.registerMemory(overflowBytes, { access: ['LOCAL_WRITE'] })
      const maxReceiveWr = Math.max(1, this.receiveDepth)
      const sendCq = this.#context.createCompletionQueue(this.#sendDepth, { batch: 1 })
      const receiveCq = this.#context.createCompletionQueue(maxReceiveWr, { batch: 1 })
      const pair = domain.createQueuePair({
        type: 'RAW_PACKET',
        port,
        sendCq,
        receiveCq,
        maxSendWr: this.#sendDepth,
        maxReceiveWr,
        maxReceiveSge: 2,
      })
      this.#handle = native.ethernet.raw.open({
        ...arenaFramesOf(frames),
        pair: idOf('pair', pair, QueuePair),
        region: idOf('region', region, MemoryRegion),
        overflow: idOf('overflow', overflow, MemoryRegion),
        batch,
        longest: networkInterface.mtu + headerBytes,
        sendDepth: this.#sendDepth,
        receiveDepth: maxReceiveWr,
        checksum: settings.transmitChecksum,
        own: networkInterface.macBytes,
        fill: this.fill.words,
        receive: this.receive.words,
        transmit: this.transmit.words,
        completion: this.completion.words,
      })
      const boxes = [cells(1), cells(1)]
      this.receiveBell = { ring: native.ethernet.raw.receiveBell(this.#handle, boxes[0]), mailbox: boxes[0] }
      this.transmitBell = {
        ring: native.ethernet.raw.transmitBell(this.#handle, boxes[1]),
        mailbox: boxes[1],
      }
      const [received, sent] = [receiveCq, sendCq].map((queue) => queue.watch(this.#completed))
      this.#stopWatching = () => {
        received.stop()
        sent.stop()
      }
      this.#context.onEvent = (event) => {
        if (event.type === 'DEVICE_FATAL') this.#happened(ENODEV)
        else if (event.type === 'PORT_ERR' && event.port === port) {
          this.onPort?.(false)
          this.#happened(ENETDOWN)
        } else if (event.type === 'PORT_ACTIVE' && event.port === port) this.onPort?.(true)
      }
      pair.connect()
      this.#steering = new RawSteering(pair, settings)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Installs the steering rules: frames come from now on. Called when the fill ring holds frames. */
  start(): void {
    try {
      if (this.receiveDepth === 0) return
      // The device drops frames that find no request: post the requests first.
      const status = this.poll()
      if (status < 0) throw new VerbsError(-status, 'ibv_post_recv', `"${this.#networkInterface.name}"`)
      this.#steering.start(this.#networkInterface.macBytes, this.#settings)
    } catch (error) {
      this.close()
      throw error
    }
  }

  poll(): number {
    const fault = this.#takeFault()
    if (fault !== 0) return -fault
    this.receiveBell.ring()
    return this.polled(this.receiveBell.mailbox[0])
  }

  polled(status: number): number {
    this.failing ||= status === -EIO
    return status
  }

  /** The device computes the checksums of UDP and TCP where it finds them; this end does everything else. */
  offload({ records }: FrameTable, index: number): number {
    const record = index * FrameRecord.words
    const place = records[record + FrameRecord.checksum] & 0xffff
    const flags = records[record + FrameRecord.flags]
    const plain = offloadsOf({ records }, index) === 1 && segmentTypeOf(flags) === SegmentType.none
    return this.checksums && plain && (place === 6 || place === 16) ? 1 : -1
  }

  /**
   * Gives the device the frames in the fill ring, without a look for received ones. The next {@link poll} returns any
   * error.
   */
  replenish(): void {
    native.ethernet.raw.replenish(this.#handle)
  }

  kick(): number {
    const fault = this.#takeFault()
    if (fault !== 0) return -fault
    this.transmitBell.ring()
    return this.kicked(this.transmitBell.mailbox[0])
  }

  kicked(status: number): number {
    this.failing ||= status === -EIO
    return status
  }

  arm(readable: boolean, writable: boolean, referenced: boolean): void {
    this.#awaited = true
    this.#reference(referenced)
    const there = native.ethernet.raw.arm(this.#handle, readable ? 1 : 0, writable ? 1 : 0)
    if (there === 0 && this.attention[0] === 0) return
    const immediate = setImmediate(this.#completed)
    if (!referenced) immediate.unref()
  }

  disarm(): void {
    this.#awaited = false
    this.#reference(false)
  }

  promiscuous(on: boolean): void {
    if (this.receiveDepth > 0) this.#steering.promiscuous(on)
  }

  joinGroup(group: Uint8Array): void {
    if (this.receiveDepth > 0) this.#steering.join(group)
  }

  leaveGroup(group: Uint8Array): void {
    if (this.receiveDepth > 0) this.#steering.leave(group)
  }

  /** A device counts frames without a request for the whole port, so that this queue's own drops are unknown. */
  statistics({ unwanted }: ReceiveCounts): PortStatistics {
    const { received, truncated } = native.ethernet.raw.statistics(this.#handle)
    return { received: received - unwanted, truncated, drops: {} }
  }

  bufferSizes(): { receive: number; send: number } {
    const { frameSize } = this.#settings.frames
    return { receive: this.receiveDepth * frameSize, send: this.#sendDepth * frameSize }
  }

  /** Whether the port is active at this moment. */
  get active(): boolean {
    if (this.#context.closed) return false
    try {
      return this.#context.queryPort(this.#port).state === 'ACTIVE'
    } catch (error) {
      // The device is gone.
      if (error instanceof VerbsError) return false
      throw error
    }
  }

  /** Why the device gave the queue pair up, in words. */
  get failure(): string {
    return nameOf(CompletionStatus, native.ethernet.raw.statistics(this.#handle).failure)
  }

  close(): void {
    this.#stopWatching()
    this.#reference(false)
    this.#context.onEvent = undefined
    this.#context.close()
  }

  #takeFault(): number {
    const fault = this.attention[0]
    if (!this.#gone) this.attention[0] = 0
    return fault
  }

  #happened(errno: number): void {
    this.attention[0] = errno
    this.#gone ||= errno === ENODEV
    this.#onEvent()
  }

  readonly #completed = (): void => {
    if (this.#awaited) this.#onEvent()
  }

  #reference(on: boolean): void {
    if (on === this.#counted) return
    this.#counted = on
    this.#context.countWaiter(on ? 1 : -1)
  }
}

function assertLinkLayer(context: Context, port: number): void {
  const { linkLayer } = context.queryPort(port)
  if (linkLayer === 'Ethernet') return
  throw verbsError(
    'ENOTSUP',
    'ibv_create_qp',
    `port ${port} of ${context.name} is ${linkLayer}, not Ethernet`,
  )
}

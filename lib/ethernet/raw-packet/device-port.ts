import { constants } from 'node:os'
import { VerbsError, verbsError } from '../../errors.js'
import { cells } from '../../ring/ring.js'
import type { CompletionQueue } from '../../verbs/completion-queue.js'
import type { Context } from '../../verbs/context.js'
import { open as openContext } from '../../verbs/device.js'
import type { FlowTarget } from '../../verbs/flow.js'
import type { QueuePair } from '../../verbs/queue-pair/queue-pair.js'
import { FrameRecord, type FrameTable } from '../frames.js'
import { queueCount } from '../interface/channels.js'
import type { NetworkInterface } from '../interface/interfaces.js'
import { offloadsOf, SegmentType, segmentTypeOf } from '../offload.js'
import type { PacketBackend, WayReport } from '../report.js'
import type { Settings } from '../settings.js'
import type { RdmaPort } from './rdma-port.js'
import { RawSteering } from './steering.js'

const { EIO, ENETDOWN, ENODEV } = constants.errno
/** The most sends under way: more than any batch, and little of the device's memory. */
const mostSends = 1024
/** Receives the rest of a frame that exceeds its place: the frame is truncated, and the queue pair goes on. */
export const overflowBytes = 2 ** 16

export interface DevicePortParts {
  networkInterface: NetworkInterface
  rdma: RdmaPort
  settings: Settings
  /** Called on libuv's loop after {@link DevicePort.arm}, and when the port goes down or the device is removed. */
  onEvent: () => void
  /** The backends tried before, with the reasons. */
  notUsed: WayReport['notUsed']
}

/**
 * What a raw packet queue pair's port is whoever drives its rings, libibverbs (port.ts) or this package (mlx5/port.ts): the
 * device's events, the steering, the sizes.
 */
export abstract class DevicePort {
  readonly zeroCopy = true
  readonly takesAll = false
  readonly dropped = 0
  readonly scarce: number
  readonly chunkSize: number
  /** errno of a port event that was not reported yet. */
  readonly attention = cells(1)
  readonly transmitAttention = this.attention
  readonly report: WayReport
  /** How many frames stand ready to receive into: the requested number, or the device's limit. */
  readonly receiveDepth: number
  /** Whether the device computes checksums on transmit. */
  readonly checksums: boolean
  /** The device has failed a request. */
  failing = false
  /** Called when the port goes down or comes up. */
  onPort: ((active: boolean) => void) | undefined
  protected readonly context: Context
  protected readonly settings: Settings
  protected readonly networkInterface: NetworkInterface
  protected readonly sendDepth: number
  readonly #port: number
  readonly #onEvent: () => void
  #steering: RawSteering | undefined
  #stopWatching = (): void => {}
  #awaited = false
  #counted = false
  #gone = false

  /** @throws VerbsError ENOTSUP from a port that is not Ethernet */
  constructor(
    readonly name: PacketBackend,
    { networkInterface, rdma: { rdmaDevice, port }, settings, onEvent, notUsed }: DevicePortParts,
  ) {
    const { frames, transmitOnly } = settings
    this.networkInterface = networkInterface
    this.settings = settings
    this.#port = port
    this.#onEvent = onEvent
    this.context = openContext(rdmaDevice)
    try {
      const { limits } = this.context
      assertLinkLayer(this.context, port)
      this.checksums = limits.rawPacketCapabilities.includes('IP_CSUM')
      if (settings.transmitChecksum && !this.checksums) {
        throw verbsError(
          'ENOTSUP',
          'ibv_post_send',
          `"options.transmitChecksum": ${rdmaDevice} computes no checksums`,
        )
      }
      this.sendDepth = Math.min(mostSends, frames.frameCount, limits.maxQpWr)
      const wanted = settings.receiveFrames[name]
      this.receiveDepth = transmitOnly ? 0 : Math.min(wanted, limits.maxQpWr)
      this.scarce = this.receiveDepth - (this.receiveDepth >> 3)
      this.chunkSize = frames.frameSize
      this.report = Object.freeze({
        backend: name,
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
    } catch (error) {
      this.context.close()
      throw error
    }
  }

  /** Why the device gave the queue pair up, in words. */
  abstract get failure(): string
  abstract poll(): number
  /** Asks for an event; returns whether there is something already. */
  protected abstract ask(readable: boolean, writable: boolean): boolean

  /** The device's port, from 1. */
  protected get rdmaPort(): number {
    return this.#port
  }

  /** The queue pair's sizes, for its creation. */
  protected get sizes() {
    return {
      type: 'RAW_PACKET',
      port: this.#port,
      maxSendWr: this.sendDepth,
      maxReceiveWr: Math.max(1, this.receiveDepth),
      maxReceiveSge: 2,
    } as const
  }

  /**
   * The queue pair can send and receive, or send where another receives; the events of both completion queues go to the
   * queue, and the device's to this port.
   */
  protected connect(
    pair: QueuePair,
    receiver: FlowTarget = pair,
    receiveCq: CompletionQueue = pair.receiveCq,
  ): void {
    const stops = [pair.sendCq, receiveCq].map((queue) =>
      queue.watch(() => {
        if (this.#awaited) this.#onEvent()
      }),
    )
    this.#stopWatching = () => {
      for (const { stop } of stops) stop()
    }
    this.context.onEvent = (event) => {
      if (event.type === 'DEVICE_FATAL') this.#happened(ENODEV)
      else if (event.type === 'PORT_ERR' && event.port === this.#port) {
        this.onPort?.(false)
        this.#happened(ENETDOWN)
      } else if (event.type === 'PORT_ACTIVE' && event.port === this.#port) this.onPort?.(true)
    }
    this.#steering = new RawSteering(receiver, this.settings)
  }

  /** Installs the steering rules: frames come from now on. Called when the fill ring holds frames. */
  start(): void {
    try {
      if (this.receiveDepth === 0) return
      // The device drops frames that find no request: post the requests first.
      const status = this.poll()
      if (status < 0) throw new VerbsError(-status, 'ibv_post_recv', `"${this.networkInterface.name}"`)
      this.#steering?.start(this.networkInterface.macBytes, this.settings)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The device computes the checksums of UDP and TCP where it finds them; this end does everything else. */
  offload({ records }: FrameTable, index: number): number {
    const record = index * FrameRecord.words
    const place = records[record + FrameRecord.checksum] & 0xffff
    const flags = records[record + FrameRecord.flags]
    const plain = offloadsOf({ records }, index) === 1 && segmentTypeOf(flags) === SegmentType.none
    return this.checksums && plain && (place === 6 || place === 16) ? 1 : -1
  }

  arm(readable: boolean, writable: boolean, referenced: boolean): void {
    this.#awaited = true
    this.#reference(referenced)
    if (!this.ask(readable, writable) && this.attention[0] === 0) return
    const immediate = setImmediate(() => {
      if (this.#awaited) this.#onEvent()
    })
    if (!referenced) immediate.unref()
  }

  disarm(): void {
    this.#awaited = false
    this.#reference(false)
  }

  promiscuous(on: boolean): void {
    if (this.receiveDepth > 0) this.#steering?.promiscuous(on)
  }

  joinGroup(group: Uint8Array): void {
    if (this.receiveDepth > 0) this.#steering?.join(group)
  }

  leaveGroup(group: Uint8Array): void {
    if (this.receiveDepth > 0) this.#steering?.leave(group)
  }

  bufferSizes(): { receive: number; send: number } {
    const { frameSize } = this.settings.frames
    return { receive: this.receiveDepth * frameSize, send: this.sendDepth * frameSize }
  }

  /** Whether the port is active at this moment. */
  get active(): boolean {
    if (this.context.closed) return false
    try {
      return this.context.queryPort(this.#port).state === 'ACTIVE'
    } catch (error) {
      // The device is gone.
      if (error instanceof VerbsError) return false
      throw error
    }
  }

  close(): void {
    this.#stopWatching()
    this.#reference(false)
    this.context.onEvent = undefined
    this.context.close()
  }

  /** The errno of what happened since the last call, if anything did; 0. */
  protected takeFault(): number {
    const fault = this.attention[0]
    if (!this.#gone) this.attention[0] = this.failing ? EIO : 0
    return fault
  }

  #happened(errno: number): void {
    this.attention[0] = errno
    this.#gone ||= errno === ENODEV
    this.#onEvent()
  }

  #reference(on: boolean): void {
    if (on === this.#counted) return
    this.#counted = on
    this.context.countWaiter(on ? 1 : -1)
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

import { constants } from 'node:os'
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
import { MemoryRegion } from '../../verbs/memory-region.js'
import { QueuePair } from '../../verbs/queue-pair/queue-pair.js'
import { arenaFramesOf } from '../arena-frames.js'
import { headerBytes } from '../frames.js'
import { type Bell, type Port, type ReceiveCounts, unlimited } from '../port.js'
import type { PortStatistics } from '../statistics.js'
import { DevicePort, type DevicePortParts, overflowBytes } from './device-port.js'

const { EIO } = constants.errno

/**
 * A raw packet queue pair (ibv_create_qp(3)) in the ring vocabulary.
 *
 * Descriptor: AF_XDP's here; the binding translates it to the device's own. Hand-over: none is needed; the rings lie
 * between this thread and the binding, and the device's rings are libibverbs' (the owner bit of a completion, behind
 * ibv_poll_cq). Doorbell: ibv_post_send and ibv_post_recv, one chain a batch; the device reads and writes the frames in
 * place.
 */
export class RawPacket extends DevicePort implements Port {
  readonly describes = true
  readonly longest = cells(1).fill(unlimited)
  readonly receiveBell: Bell
  readonly transmitBell: Bell
  readonly completesOnKick = true
  readonly syscalls = { receive: 'ibv_poll_cq', transmit: 'ibv_post_send' }
  readonly fill: Producer
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer
  readonly #handle: number

  /**
   * @throws VerbsError EPERM without CAP_NET_RAW, ENOTSUP from a device without raw packet queue pairs, ENOMEM where
   *   too little memory may be locked
   */
  constructor(parts: DevicePortParts) {
    super('raw_packet_qp', parts)
    const { networkInterface, settings } = parts
    const { frames, batch } = settings
    const { sizes, sendDepth } = this
    try {
      const addresses = (records: number) => allocateRing(records, AddressRecord.words)
      const descriptors = (records: number) => allocateRing(records, DescriptorRecord.words)
      const completions = Math.max(frames.frameCount, sendDepth * 2)
      this.fill = new LocalProducer(addresses(Math.max(1, this.receiveDepth)), AddressRecord.words)
      this.receive = new LocalConsumer(descriptors(batch), DescriptorRecord.words)
      this.transmit = new LocalProducer(descriptors(frames.frameCount), DescriptorRecord.words)
      this.completion = new LocalConsumer(addresses(completions), AddressRecord.words)

      const domain = this.context.allocateProtectionDomain()
      const region = domain.registerMemory(frames.arena, { access: ['LOCAL_WRITE'] })
      const overflow = domain.registerMemory(overflowBytes, { access: ['LOCAL_WRITE'] })
      const sendCq = this.context.createCompletionQueue(sendDepth, { batch: 1 })
      const receiveCq = this.context.createCompletionQueue(sizes.maxReceiveWr, { batch: 1 })
      const pair = domain.createQueuePair({ ...sizes, sendCq, receiveCq })
      this.#handle = native.ethernet.raw.open({
        ...arenaFramesOf(frames),
        pair: idOf('pair', pair, QueuePair),
        region: idOf('region', region, MemoryRegion),
        overflow: idOf('overflow', overflow, MemoryRegion),
        batch,
        longest: networkInterface.mtu + headerBytes,
        sendDepth,
        receiveDepth: sizes.maxReceiveWr,
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
      this.connect(pair)
      pair.connect()
    } catch (error) {
      this.close()
      throw error
    }
  }

  poll(): number {
    const fault = this.takeFault()
    if (fault !== 0) return -fault
    this.receiveBell.ring()
    return this.polled(this.receiveBell.mailbox[0])
  }

  polled(status: number): number {
    this.failing ||= status === -EIO
    return status
  }

  /**
   * Gives the device the frames in the fill ring, without a look for received ones. The next {@link poll} returns any
   * error.
   */
  replenish(): void {
    native.ethernet.raw.replenish(this.#handle)
  }

  kick(): number {
    const fault = this.takeFault()
    if (fault !== 0) return -fault
    this.transmitBell.ring()
    return this.kicked(this.transmitBell.mailbox[0])
  }

  kicked(status: number): number {
    this.failing ||= status === -EIO
    return status
  }

  /** A device counts frames without a request for the whole port, so that this queue's own drops are unknown. */
  statistics({ unwanted }: ReceiveCounts): PortStatistics {
    const { received, truncated } = native.ethernet.raw.statistics(this.#handle)
    return { received: received - unwanted, truncated, drops: {} }
  }

  override get failure(): string {
    return nameOf(CompletionStatus, native.ethernet.raw.statistics(this.#handle).failure)
  }

  protected override ask(readable: boolean, writable: boolean): boolean {
    return native.ethernet.raw.arm(this.#handle, readable ? 1 : 0, writable ? 1 : 0) !== 0
  }
}

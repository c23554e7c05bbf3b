import { constants } from 'node:os'
import { verbsError } from '../../errors.js'
import { DeviceClock } from '../../mlx5/clock.js'
import { createCompletionQueue, createQueuePair } from '../../mlx5/create.js'
import { decodeCompletion } from '../../mlx5/decode/completion.js'
import { queryDevice } from '../../mlx5/device.js'
import { type DirectCompletionQueue, takeCompletionQueue, takeQueuePair } from '../../mlx5/direct.js'
import { receiveQueue } from '../../mlx5/driver/receive-queue.js'
import { sendQueue } from '../../mlx5/driver/send-queue.js'
import { inlineHeaderBytes } from '../../mlx5/inline-header.js'
import { frameCqe } from '../../mlx5/layout/completion.js'
import { Stamps } from '../../mlx5/stamps.js'
import { assertSupported } from '../../mlx5/supported.js'
import { cells } from '../../ring/ring.js'
import type { CompletionQueue } from '../../verbs/completion-queue.js'
import type { QueuePair } from '../../verbs/queue-pair/queue-pair.js'
import { FrameFlag, headerBytes } from '../frames.js'
import type {
  Bell,
  CompletionRing,
  FillRing,
  Hint,
  Port,
  ReceiveCounts,
  ReceiveRing,
  TransmitRing,
} from '../port.js'
import { DevicePort, type DevicePortParts, overflowBytes } from '../raw-packet/device-port.js'
import type { PortStatistics } from '../statistics.js'

const { EIO } = constants.errno

/**
 * A ConnectX's rings, which this package drives itself (ibverbs/mlx5), in the ring vocabulary.
 *
 * Descriptor: the device's own work queue elements and completions. Hand-over: doorbell records in memory, which the device
 * reads, and the owner bit of each completion, which changes with each lap. Doorbell: one store to a register, one a batch,
 * to send; none to receive.
 */
export class Mlx5Port extends DevicePort implements Port {
  readonly describes = false
  readonly completesOnKick = false
  readonly syscalls = { receive: 'ibverbs/mlx5', transmit: 'ibverbs/mlx5' }
  readonly longest = cells(1)
  /** What came lies in memory: no call brings more. */
  readonly hint: Hint = { words: new Uint32Array(cells(1).buffer), at: cells(1), cell: 0, bits: 1 }
  readonly transmitBell: Bell
  readonly fill: FillRing
  readonly receive: ReceiveRing
  readonly transmit: TransmitRing
  readonly completion: CompletionRing
  readonly stamp?: Port['stamp']
  failure = ''
  readonly #sent: Arming
  readonly #received: Arming

  /**
   * @throws VerbsError ENOTSUP for a device that is no ConnectX, EPERM without CAP_NET_RAW, ENOMEM where too little memory
   *   may be locked
   */
  constructor(parts: DevicePortParts) {
    super('mlx5', parts)
    const { networkInterface, settings } = parts
    const { frames, batch } = settings
    const { sizes, context } = this
    try {
      assertSupported(context)
      this.longest[0] = networkInterface.mtu + headerBytes
      const domain = context.allocateProtectionDomain()
      const region = domain.registerMemoryFromPage(frames.arena, ['LOCAL_WRITE'])
      const key = region.lkey
      const base = Number(region.address)
      assertAddressable(frames.arena.byteLength, base)
      const overflow = domain.registerMemory(overflowBytes, { access: ['LOCAL_WRITE'] })
      const sendCq = createCompletionQueue(domain, this.sendDepth, { batch: 1 })
      const { flags, compression } = queryDevice(context)
      const stamped = settings.timestamps === 'hardware'
      // The format that costs the device least: nothing is read of a mini completion but its byte count.
      const compressed = stamped ? undefined : compression?.formats.find((each) => each === 'HASH')
      const receiveCq = createCompletionQueue(domain, sizes.maxReceiveWr, {
        batch: 1,
        compression: compressed,
        timestamps: stamped,
      })
      const pair = createQueuePair(domain, { ...sizes, sendCq, receiveCq })
      // libmlx5 writes the receive queue's record at this transition: from here on nobody does but this port.
      pair.connect()
      const { rings, bell } = takeQueuePair(pair)
      const [sent, received] = [sendCq, receiveCq].map((queue) => takeCompletionQueue(queue))
      this.transmitBell = bell
      const failed = (entry: Uint8Array): void => this.#failed(entry)
      const sending = sendQueue({
        ...{ pair: rings, completions: sent, mailbox: bell.mailbox, failed, key, base },
        memory: frames.arena.bytes,
        multiPacket: flags.includes('ENHANCED_MPW'),
        inlined: inlineHeaderBytes(context),
        checksums: settings.transmitChecksum,
      })
      const receiving = receiveQueue({
        ...{ pair: rings, completions: received, failed, key, base, batch },
        headroom: frames.headroom,
        room: frames.frameSize - frames.headroom,
        overflow: { address: overflow.address, length: overflow.length, key: overflow.lkey },
        checksumValid: FrameFlag.checksumValid,
      })
      this.transmit = sending.requests
      this.completion = sending.completions
      this.fill = receiving.requests
      this.receive = receiving.completions
      if (stamped) this.stamp = stamper(DeviceClock.of(context), received)
      this.#sent = new Arming(sent, sending.entries)
      this.#received = new Arming(received, receiving.entries)
      this.connect(pair)
    } catch (error) {
      this.close()
      throw error
    }
  }

  poll(): number {
    const fault = this.takeFault()
    if (fault !== 0) return -fault
    return this.failing ? -EIO : this.receive.available()
  }

  kick(): number {
    const fault = this.takeFault()
    if (fault !== 0) return -fault
    if (this.failing) return -EIO
    this.transmitBell.ring()
    return 0
  }

  /** A device counts frames without a request for the whole port, so that this queue's own drops are unknown. */
  statistics({ received, truncated }: ReceiveCounts): PortStatistics {
    return { received, truncated, drops: {} }
  }

  protected override watched({
    sendCq,
    receiveCq,
  }: QueuePair): { queue: CompletionQueue; taken: () => void }[] {
    return [
      { queue: sendCq, taken: () => this.#sent.taken() },
      { queue: receiveCq, taken: () => this.#received.taken() },
    ]
  }

  protected override ask(readable: boolean, writable: boolean): boolean {
    if (readable) this.#received.ask()
    if (writable) this.#sent.ask()
    // What completed before the arming raises no event.
    return (readable && this.receive.available() > 0) || (writable && this.completion.available() > 0)
  }

  /** The device completes nothing more but by errors. */
  #failed(entry: Uint8Array): void {
    if (!this.failing) {
      const { syndrome, title } = decodeCompletion(entry, { type: 'RAW_PACKET' })
      this.failure = syndrome ?? title
    }
    this.failing = true
    if (this.attention[0] === 0) this.attention[0] = EIO
  }
}

/** Reads when the frame of a completion came: in an entry of 128 bytes it is in the second half. */
function stamper(clock: DeviceClock, { view, count, stride }: DirectCompletionQueue): Port['stamp'] {
  const stamps = new Stamps(clock)
  const timestamp = stride - frameCqe.length + frameCqe.fields.timestamp.offset
  return (at, words, place) => {
    const byte = (at & (count - 1)) * stride + timestamp
    stamps.write(view.getUint32(byte), view.getUint32(byte + 4), words, place)
  }
}

/** The driver writes addresses of 32 bits. */
function assertAddressable(byteLength: number, base: number): void {
  if (byteLength + base <= 2 ** 32) return
  throw verbsError('ENOTSUP', 'ibv_reg_mr_iova', 'an arena of nearly 4 GiB must begin at a page')
}

/** Asks for the events of a completion queue: one for each asking, with a number that each event raises. */
class Arming {
  readonly #queue: DirectCompletionQueue
  readonly #index: () => number
  #events = 0

  /** @param index how many of the queue's entries were taken */
  constructor(queue: DirectCompletionQueue, index: () => number) {
    this.#queue = queue
    this.#index = index
  }

  taken(): void {
    this.#events++
  }

  ask(): void {
    this.#queue.arm(this.#events & 3, this.#index() & 0xffffff)
  }
}

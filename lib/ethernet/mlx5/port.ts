import { constants } from 'node:os'
import { verbsError } from '../../errors.js'
import { DeviceClock } from '../../mlx5/clock.js'
import { canSegment, createCompletionQueue, createQueuePair } from '../../mlx5/create.js'
import { decodeCompletion } from '../../mlx5/decode/completion.js'
import { queryDevice } from '../../mlx5/device.js'
import { type DirectRing, takeCompletionQueue, takeQueuePair } from '../../mlx5/direct.js'
import { Arming } from '../../mlx5/driver/arming.js'
import { type Element, receiveQueue } from '../../mlx5/driver/receive-queue.js'
import { mostHeaderBytes, SendOption, sendQueue, workBlocks } from '../../mlx5/driver/send-queue.js'
import { SendWork } from '../../mlx5/hot/state.js'
import { inlineHeaderBytes } from '../../mlx5/inline-header.js'
import { frameCqe } from '../../mlx5/layout/completion.js'
import { Stamps } from '../../mlx5/stamps.js'
import { assertSupported } from '../../mlx5/supported.js'
import { cells } from '../../ring/ring.js'
import type { ProtectionDomain } from '../../verbs/protection-domain.js'
import { FrameFlag, FrameRecord, type FrameTable, headerBytes } from '../frames.js'
import { completeChecksum, offloadsOf, SegmentType, segmentSizeOf, segmentTypeOf } from '../offload.js'
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
import { segmentHeaderBytes } from './segment-headers.js'
import { openStriding, stridesOf } from './striding.js'

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
  readonly detail?: Port['detail']
  failure = ''
  /** {@link SendWork} of the next frame. */
  readonly #work: Int32Array
  /** Bytes that a request may have cut into segments; 0: none. */
  readonly #mostSegmented: number
  readonly framesPerBuffer: number
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
      const { stripVlan } = settings
      const stamped = settings.timestamps === 'hardware'
      const detailed = stamped || stripVlan
      const { flags, compression } = queryDevice(context)
      // An entry of its own tells more of a frame.
      const formats = detailed ? undefined : compression?.formats
      const failed = (entry: Uint8Array): void => this.#failed(entry)
      const common = { failed, key, base, batch, checksumValid: FrameFlag.checksumValid }
      const strides = settings.striding === false ? 1 : stridesOf(context, settings, this.receiveDepth)
      this.framesPerBuffer = strides
      const depth = this.receiveDepth - (this.receiveDepth % strides)
      const striding =
        strides > 1
          ? openStriding({
              ...{
                ...common,
                domain,
                port: this.rdmaPort,
                depth,
                stripVlan,
                formats,
                timestamps: stamped,
                strides,
              },
              strideBytes: frames.frameSize,
            })
          : undefined
      const sendCq = createCompletionQueue(domain, this.sendDepth, { batch: 1 })
      const receiveCq = createCompletionQueue(domain, striding ? 1 : sizes.maxReceiveWr, {
        batch: 1,
        // The format that costs the device least: nothing is read of a mini completion but its byte count.
        compression: striding ? undefined : formats?.find((each) => each === 'HASH'),
        timestamps: stamped,
      })
      const segments = canSegment(context)
      this.#mostSegmented = segments ? context.limits.extended.maxTso : 0
      const pair = createQueuePair(domain, {
        ...{ ...sizes, sendCq, receiveCq, stripVlan: stripVlan && !striding },
        ...(striding && { maxReceiveWr: 1 }),
        // A ring of the same size: few of its requests have so long headers.
        ...(segments && {
          maxTsoHeader: mostHeaderBytes,
          maxSendWr: Math.max(1, Math.floor(2 ** Math.ceil(Math.log2(sizes.maxSendWr)) / workBlocks)),
        }),
      })
      // libmlx5 writes the receive queue's record at this transition: from here on nobody does but this port.
      pair.connect()
      const { rings, bell } = takeQueuePair(pair)
      const sent = takeCompletionQueue(sendCq)
      const received = striding?.completions ?? takeCompletionQueue(receiveCq)
      this.transmitBell = bell
      const sending = sendQueue({
        ...{ pair: rings, completions: sent.ring, mailbox: bell.mailbox, failed, key, base },
        memory: frames.arena.bytes,
        multiPacket: flags.includes('ENHANCED_MPW'),
        inlined: inlineHeaderBytes(context),
        checksums: settings.transmitChecksum,
      })
      const receiving =
        striding?.ends ??
        receiveQueue({
          ...{ ...common, pair: rings, completions: received.ring },
          headroom: frames.headroom,
          room: frames.frameSize - frames.headroom,
          overflow: this.#overflow(domain),
        })
      this.#work = sending.work
      this.transmit = sending.requests
      this.completion = sending.completions
      this.fill = receiving.requests
      this.receive = receiving.completions
      if (detailed) {
        const clock = stamped ? DeviceClock.of(context) : undefined
        this.detail = details(received.ring, receiving.entryOf, clock, stripVlan)
      }
      this.#sent = new Arming(sent, sending.entries)
      this.#received = new Arming(received, receiving.entries)
      this.connect(pair, striding?.receiver, striding?.cq)
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

  /**
   * The device computes checksums of UDP and TCP, inserts a tag, and cuts TCP's super-frames into segments that the
   * interface accepts; this end does all else.
   */
  override offload(table: FrameTable, index: number): number {
    const work = this.#work
    const memory = this.settings.frames.arena.bytes
    const { records } = table
    const record = index * FrameRecord.words
    const asked = offloadsOf(table, index)
    const flags = records[record + FrameRecord.flags]
    const tag = asked === 0 ? 0 : records[record + FrameRecord.vlan]
    const place = records[record + FrameRecord.checksum] & 0xffff
    work[SendWork.tag] = tag
    work[SendWork.segmentSize] = 0
    if ((asked & 1) !== 0 && segmentTypeOf(flags) !== SegmentType.none) {
      const segmentSize = segmentSizeOf(flags)
      const header = segmentHeaderBytes(table, memory, index)
      const payload = records[record + FrameRecord.length] - header
      const fits = header + segmentSize <= this.longest[0] && payload <= this.#mostSegmented
      // This end does not cut.
      if (header === 0 || header > mostHeaderBytes || !fits || segmentSize > mostSegmentSize) return -1
      work[SendWork.headers] = header
      work[SendWork.segmentSize] = segmentSize
      return SendOption.checksums | SendOption.work
    }
    let options = 0
    if ((asked & 1) !== 0) {
      if (this.checksums && (place === 6 || place === 16)) options = SendOption.checksums
      else completeChecksum(table, memory, index)
    }
    return tag === 0 ? options : options | SendOption.work
  }

  placesOf(options: number): number {
    return (options & SendOption.work) === 0 ? 1 : workBlocks
  }

  /** A device counts frames without a request for the whole port, so that this queue's own drops are unknown. */
  statistics({ received, truncated }: ReceiveCounts): PortStatistics {
    return { received, truncated, drops: {} }
  }

  /** Memory for the rest of a frame that is longer than its place. */
  #overflow(domain: ProtectionDomain): Element {
    const { address, length, lkey } = domain.registerMemory(overflowBytes, { access: ['LOCAL_WRITE'] })
    return { address, length, key: lkey }
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

/** The 14 bits of mss (struct mlx5_wqe_eth_seg). */
const mostSegmentSize = 2 ** 14 - 1

/** ETH_P_8021Q: the tag that a device strips. */
const tagProtocol = 0x8100

/**
 * What a completion tells of its frame: when it came, with a clock; and which tag was stripped. In an entry of 128 bytes it is
 * in the second half.
 */
function details(
  { view, count, stride }: DirectRing,
  entryOf: (at: number) => number,
  clock: DeviceClock | undefined,
  stripped: boolean,
): NonNullable<Port['detail']> {
  const stamps = clock && new Stamps(clock)
  const { timestamp, vlanStripped, vlanTag } = frameCqe.fields
  const start = stride - frameCqe.length
  return (at, records, record) => {
    const entry = (entryOf(at) & (count - 1)) * stride + start
    if (stripped && (view.getUint8(entry + vlanStripped.offset) & (1 << vlanStripped.low)) !== 0) {
      records[record + FrameRecord.vlan] = (tagProtocol << 16) | view.getUint16(entry + vlanTag.offset)
    }
    if (!stamps) return
    const byte = entry + timestamp.offset
    stamps.write(view.getUint32(byte), view.getUint32(byte + 4), records, record + FrameRecord.seconds)
  }
}

/** The driver writes addresses of 32 bits. */
function assertAddressable(byteLength: number, base: number): void {
  if (byteLength + base <= 2 ** 32) return
  throw verbsError('ENOTSUP', 'ibv_reg_mr_iova', 'an arena of nearly 4 GiB must begin at a page')
}

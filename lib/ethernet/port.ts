import type { VerbsError } from '../errors.js'
import type { Consumer, Producer } from '../ring/ring.js'
import type { FrameTable } from './frames.js'
import type { Link } from './interface/link.js'
import type { PacketBackend, WayReport } from './report.js'
import type { PortStatistics } from './statistics.js'

/** The longest frame of a port whose other end itself refuses frames that are too long. */
export const unlimited = 2 ** 30

/**
 * A way to a device: four rings and two doorbells, and what it cannot do. A queue pushes free frames into `fill` and
 * takes received ones from `receive`; it pushes frames to send into `transmit` and takes them back from `completion`.
 *
 * Over plain memory (`allocateRing`, and ring ends with the default layout) a port is a queue without a kernel:
 * `bench/ethernet/ring-cost.ts` measures JavaScript's own cost with one, by `queueOver(pool, batch, port)` of
 * packet-queue.ts. The benchmark replaces the kernel with the rings' other ends: a Consumer of `fill` and `transmit`, a
 * Producer of `receive` and `completion` over the same words.
 */
export interface Port {
  readonly name: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
  readonly report: WayReport
  /** The system calls that the errors of {@link poll} and {@link kick} name. */
  readonly syscalls: { readonly receive: string; readonly transmit: string }

  /** Records: AddressRecord, the arena offset of a frame to receive into. */
  readonly fill: Producer
  /** Records: DescriptorRecord. */
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer

  /**
   * Whether the other end writes the record of each received frame (FrameRecord); otherwise its descriptor holds
   * everything there is.
   */
  readonly describes: boolean
  /**
   * With fewer free frames than this at the device, receive() refills the fill ring at once; an empty look always does.
   * 0 where the other end takes free frames only when it is called.
   */
  readonly scarce: number
  /** Gives the device the frames in `fill`, where `fill` is not the device's own ring. */
  replenish?(): void
  /**
   * The receive ring's doorbell, for an empty `receive`: how many descriptors it holds afterwards, or a negative errno.
   */
  poll(): number

  /**
   * Bytes of one of the device's buffers: a longer frame takes several descriptors. A power of two, at most the frame
   * size.
   */
  readonly chunkSize: number
  /**
   * Bytes of the longest frame that the interface accepts at this moment; {@link unlimited} where the other end refuses
   * longer ones.
   */
  readonly longest: number
  /** Whether frames in `transmit` count as accepted: it is the device's own ring. */
  readonly takesAll: boolean
  /** Completions come only during {@link kick}: an empty queue kicks to get its frames back. */
  readonly completesOnKick: boolean
  /** Frames that the device dropped after the hand-over: taken out of the ring, completed, and not sent. */
  readonly dropped: number
  /** The device has failed a request: completions have a status even where {@link kick} succeeds. */
  readonly failing: boolean
  /**
   * The descriptor options that make the other end do the work that the frame's record leaves open (checksum, VLAN tag,
   * segments); negative where this end must do it.
   */
  offload?(table: FrameTable, index: number): number
  /** The transmit ring's doorbell: 0 when the device took all frames, or the negative errno that stopped it. */
  kick(): number

  /** Wakes the queue once, when it can receive or has room to send. */
  arm(readable: boolean, writable: boolean, referenced: boolean): void
  disarm(): void

  promiscuous(on: boolean): void
  joinGroup(group: Uint8Array): void
  leaveGroup(group: Uint8Array): void
  /** @param counted the receiver's counts, for a port that does not count itself */
  statistics(counted: ReceiveCounts): PortStatistics
  /** Bytes of the kernel's queues, as the kernel accounts them. */
  bufferSizes(): { receive: number; send: number }
  close(): void
}

/** Frames that a receiver took. */
export interface ReceiveCounts {
  readonly received: number
  /** Of these, the truncated ones. */
  readonly truncated: number
}

/** The receiving half of a queue: moves frames between the pool, the fill ring and the receive ring. */
export interface ReceivingEnd extends ReceiveCounts {
  /** Records in the receive ring that named no frame of this queue. */
  readonly invalid: number
  /** Frames in the receive ring, after a look for more when it is empty. Throws the interface's error. */
  ready(): number
  /** {@link ready}, but throws when no frame can ever come. */
  awaitable(): number
  receive(): number
  slot(i: number): number
}

/** The transmitting half of a queue: moves frames between the pool, the transmit ring and the completion ring. */
export interface TransmittingEnd {
  /** The error that ended the last {@link submit} before it accepted every frame, and that does not pass by itself. */
  readonly error: VerbsError | null
  /** The device's own queue had no room at the last {@link submit}; no event announces room. */
  readonly congested: boolean
  /** Frames sent and not yet accepted. */
  readonly pending: number
  readonly transmitted: number
  /** Frames that were themselves refused, by the name of the error. */
  readonly refusals: Record<string, number>
  /** Records in the completion ring that named no frame of this queue. */
  readonly invalid: number
  claim(): number
  send(slot: number, length: number): void
  /** {@link send}, of a frame that begins at another offset than its record's */
  sendAt(slot: number, length: number, offset: number): void
  /** {@link send}, of a frame whose record leaves its checksum, VLAN tag or segments to the kernel or the device. */
  offload(slot: number): void
  submit(): number
  close(): void
}

/** A port, and the two halves of a queue on it. */
export interface Way {
  port: Port
  receiver: ReceivingEnd
  transmitter: TransmittingEnd
  /** The link to use instead of the interface's own. */
  link?: Link
  /** Undoes the changes to the device, after the port is closed. */
  restore?: () => void
}

import type { VerbsError } from '../errors.js'
import type { Consumer, Producer } from '../ring/ring.js'
import type { FrameTable } from './frames.js'
import type { Link } from './interface/link.js'
import type { PacketBackend, WayReport } from './report.js'
import type { PortStatistics } from './statistics.js'

/** The longest frame of a port whose other end refuses what is too long. */
export const unlimited = 2 ** 30

/**
 * A way to a device: four rings and two doorbells, and what it cannot do. A queue pushes free frames into `fill` and takes
 * received ones from `receive`; it pushes frames to send into `transmit` and takes them back from `completion`.
 *
 * Over plain memory (`allocateRing`, and ends with the layout that is their default) a port is a queue without a kernel:
 * `bench/ethernet/ring-cost.ts` measures JavaScript's own cost so, by `queueOver(pool, batch, port)` of packet-queue.ts.
 * What stands for the kernel there has the rings' other ends: a Consumer of `fill` and `transmit`, a Producer of `receive`
 * and `completion` over the same words.
 */
export interface Port {
  readonly name: PacketBackend
  /** Whether frames move between the device and the arena without a copy. */
  readonly zeroCopy: boolean
  readonly report: WayReport
  /** The system calls that errors of {@link poll} and of {@link kick} name. */
  readonly syscalls: { readonly receive: string; readonly transmit: string }

  /** Records: AddressRecord, the offset in the arena of a frame to receive into. */
  readonly fill: Producer
  /** Records: DescriptorRecord. */
  readonly receive: Consumer
  readonly transmit: Producer
  readonly completion: Consumer

  /** The other end writes the record of each frame that it brings (FrameRecord); else its descriptor says all there is. */
  readonly describes: boolean
  /**
   * With fewer free frames than this at the device, receive() brings new ones at once; an empty look always does. 0 where
   * the other end takes them only when it is called.
   */
  readonly scarce: number
  /** Gives the device the frames in `fill`, where `fill` is not the device's own ring. */
  replenish?(): void
  /** Called when `receive` is empty: how many descriptors it has then, or a negative errno. */
  poll(): number

  /** Bytes of one of the device's buffers: a longer frame takes several descriptors. A power of two, at most the frame size. */
  readonly chunkSize: number
  /** Bytes of the longest frame that the interface takes at this moment; {@link unlimited} where the other end refuses more. */
  readonly longest: number
  /** What is in `transmit` counts as accepted: it is the device's own ring. */
  readonly takesAll: boolean
  /** Completions come only while {@link kick} is called, so that an empty queue kicks to have its frames back. */
  readonly completesOnKick: boolean
  /** Frames that the device dropped when they were handed to it: taken out of the ring, completed, and not sent. */
  readonly dropped: number
  /** The device has failed a request: completions have a status also where {@link kick} succeeds. */
  readonly failing: boolean
  /**
   * The options of a frame's descriptor with which the other end does what the frame's record leaves to it (checksum, VLAN
   * tag, segments); negative where that must be done here.
   */
  offload?(table: FrameTable, index: number): number
  /** The transmit ring's doorbell: 0 when all was taken, or the negative errno that stopped it. */
  kick(): number

  /** Wakes the queue once when there is something to receive, or room to send. */
  arm(readable: boolean, writable: boolean, referenced: boolean): void
  disarm(): void

  promiscuous(on: boolean): void
  joinGroup(group: Uint8Array): void
  leaveGroup(group: Uint8Array): void
  /** @param counted what the receiver counted, for a port that does not count itself */
  statistics(counted: ReceiveCounts): PortStatistics
  /** Bytes of the kernel's queues, as the kernel accounts them. */
  bufferSizes(): { receive: number; send: number }
  close(): void
}

/** Frames that a receiver took. */
export interface ReceiveCounts {
  readonly received: number
  /** Of these, those that were cut. */
  readonly truncated: number
}

/** The receiving half of a queue: who moves frames between the pool, the fill ring and the receive ring. */
export interface ReceivingEnd extends ReceiveCounts {
  /** Records in the receive ring that named no frame of ours. */
  readonly invalid: number
  /** Frames in the receive ring, after a look for more when it is empty. Throws the interface's error. */
  ready(): number
  /** {@link ready}, or an error when no frame can ever come. */
  awaitable(): number
  receive(): number
  slot(i: number): number
}

/** The transmitting half of a queue: who moves frames between the pool, the transmit ring and the completion ring. */
export interface TransmittingEnd {
  /** What ended the last {@link submit} before all was accepted, and will not pass by itself. */
  readonly error: VerbsError | null
  /** The device's own queue had no room at the last {@link submit}: nobody tells when it has. */
  readonly congested: boolean
  /** Frames that were sent and not accepted. */
  readonly pending: number
  readonly transmitted: number
  /** Frames that were refused for their own sake, by the name of the error. */
  readonly refusals: Record<string, number>
  /** Records in the completion ring that named no frame of ours. */
  readonly invalid: number
  claim(): number
  send(slot: number, length: number): void
  /** {@link send}, of a frame that begins elsewhere than its record says */
  sendAt(slot: number, length: number, offset: number): void
  /** {@link send}, of a frame whose record leaves its checksum, VLAN tag or segments to the kernel or the device. */
  offload(slot: number): void
  submit(): number
  close(): void
}

/** A way to the device, and the two halves of a queue on it. */
export interface Way {
  port: Port
  receiver: ReceivingEnd
  transmitter: TransmittingEnd
  /** What stands for the interface, where that is more than its link. */
  link?: Link
  /** Puts the device back as it was found, after the port was closed. */
  restore?: () => void
}

import type { HotFill, HotTransmit } from '../ring/hot/parts.js'
import type { Consumer, Producer } from '../ring/ring.js'
import type { FrameTable } from './frames.js'
import type { PacketBackend, WayReport } from './report.js'
import type { PortStatistics } from './statistics.js'

/** The longest frame of a port whose other end itself refuses frames that are too long. */
export const unlimited = 2 ** 30

/**
 * A doorbell that hot code rings itself: a native function without arguments, bound to its queue, which leaves its
 * status in the mailbox's first word. A call with arguments and a result costs twice as much.
 */
export interface Bell {
  readonly ring: () => void
  readonly mailbox: Int32Array
}

/** A word of shared memory that shows whether the receive ring's doorbell is of use: any of `bits` is set in it. */
export interface Hint {
  readonly words: Uint32Array
  /** `at[cell]` is the word's index, which changes where the word is a slot's. */
  readonly at: Int32Array
  readonly cell: number
  readonly bits: number
}

type OfRing = 'words' | 'layout'
/** What a queue asks of each of a port's rings, in AF_XDP's formats or in a device's own. */
export type FillRing = Pick<Producer, OfRing | 'pushAddress' | 'publish'> & { hot(): HotFill }
export type ReceiveRing = Pick<
  Consumer,
  OfRing | 'available' | 'at' | 'address' | 'length' | 'more' | 'flags' | 'consume' | 'hot'
>
export type TransmitRing = Pick<
  Producer,
  OfRing | 'index' | 'pushed' | 'place' | 'write' | 'publish' | 'outstanding' | 'room'
> & { hot(): HotTransmit }
export type CompletionRing = Pick<
  Consumer,
  OfRing | 'available' | 'at' | 'address' | 'status' | 'consume' | 'hot'
>

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
  readonly fill: FillRing
  /** Records: DescriptorRecord. */
  readonly receive: ReceiveRing
  readonly transmit: TransmitRing
  readonly completion: CompletionRing

  /**
   * Whether the other end writes the record of each received frame (FrameRecord); otherwise its descriptor holds
   * everything there is.
   */
  readonly describes: boolean
  /**
   * Where a received frame's descriptor tells more than its place, length and flags, such as when it arrived: writes that
   * into the frame's record, which begins at word `record`; `at` as in `receive`.
   */
  detail?(at: number, records: Uint32Array, record: number): void
  /**
   * How many frames of the arena, neighbours, lie in a buffer that one record of `fill` posts: a power of two. More than
   * 1 is a striding receive queue: each received frame takes the next place of the buffer, or several with a descriptor
   * each (cut to the first place), and a descriptor of length 0 passes over a place that stays unused. The buffer can be
   * posted again when the last of its frames has been released. Default 1.
   */
  readonly framesPerBuffer?: number
  /**
   * With fewer free frames than this at the device, receive() refills the fill ring at once; an empty look always does.
   * 0 where the other end takes free frames only when it is called.
   */
  readonly scarce: number
  /** Gives the device the frames in `fill`, where `fill` is not the device's own ring. */
  replenish?(): void
  /** One word: not 0 when the next {@link poll} has something to tell, such as an error. */
  readonly attention: Int32Array
  /** Without it, every look at an empty `receive` calls {@link poll}. */
  readonly hint?: Hint
  /** The receive ring's doorbell for hot code; its status is {@link poll}'s, but for {@link polled}. */
  readonly receiveBell?: Bell
  /** Makes the status of `receiveBell`, 0 or less, that of {@link poll}. */
  polled?(status: number): number
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
   * One word: bytes of the longest frame that the interface accepts at this moment; {@link unlimited} where the other
   * end refuses longer ones.
   */
  readonly longest: Int32Array
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
   * segments); negative where this end must do it. With options, the frame is the next that `transmit` writes.
   */
  offload?(table: FrameTable, index: number): number
  /** The most places of `transmit` that a frame with these options takes. Default 1. */
  placesOf?(options: number): number
  /** {@link attention}, of {@link kick}; a port without it finds out when it kicks. */
  readonly transmitAttention?: Int32Array
  /** The transmit ring's doorbell for hot code; its status is {@link kick}'s, but for {@link kicked}. */
  readonly transmitBell?: Bell
  /** Goes on after a ring of `transmitBell` that did not empty the ring, and returns the status of {@link kick}. */
  kicked?(status: number): number
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
  /** Frames that the device received, and a filter of this library did not let through. */
  readonly unwanted: number
}

/** The receiving half of a queue: moves frames between the pool, the fill ring and the receive ring. */
export interface ReceivingEnd extends ReceiveCounts {
  /** Records in the receive ring that named no frame of this queue. */
  readonly invalid: number
  /** Frames that were copied out of buffers which they shared with others. */
  readonly copied: number
  /** Frames in the receive ring, after a look for more when it is empty. Throws the interface's error. */
  ready(): number
  /** {@link ready}, but throws when no frame can ever come. */
  awaitable(): number
  /** Takes frames into the queue's batch; returns how many. The queue's own receive(): it needs no `this`. */
  readonly receive: () => number
}

import { type FramePool, FrameRecord, type FrameTable, tableOf } from './frames.js'
import { inspectFrame } from './inspect.js'
import type { NetworkInterface } from './interface/interfaces.js'
import { completeChecksum, restoreVlan, segmentSizeOf, segmentTypeOf } from './offload.js'

/** The frames of a queue, by the slots that the caller has: where they lie, and what the kernel told of them. */
export abstract class QueueFrames {
  /** The interface as it was when the queue was opened. */
  declare readonly interface: NetworkInterface
  /** The frames, and how many of them are free. Give them to another queue to forward between the two. */
  declare readonly frames: FramePool
  /** The arena: a frame's bytes begin at `memory[queue.offset(slot)]`. */
  declare readonly memory: Uint8Array<SharedArrayBuffer>
  /** @internal */
  declare protected readonly table: FrameTable

  protected constructor(networkInterface: NetworkInterface, frames: FramePool) {
    this.interface = networkInterface
    this.frames = frames
    this.memory = frames.arena.bytes
    this.table = tableOf(frames)
  }

  /** Where the frame begins in {@link memory}. */
  offset(slot: number): number {
    return this.#word(slot, FrameRecord.offset)
  }

  /** Bytes of the frame that are there, from its destination address on, without the checksum; 0 for a claimed one. */
  length(slot: number): number {
    return this.#word(slot, FrameRecord.length)
  }

  /** Bytes that the frame had on the wire: more than {@link length} when it was truncated. */
  originalLength(slot: number): number {
    return this.#word(slot, FrameRecord.originalLength)
  }

  /** {@link FrameFlag} bits of a received frame. */
  flags(slot: number): number {
    return this.#word(slot, FrameRecord.flags) & 0xff
  }

  /** {@link PacketType} of a received frame. */
  packetType(slot: number): number {
    return this.table.packetType(slot, this.memory, this.interface.macBytes)
  }

  /**
   * The VLAN tag that the kernel took out of the frame, as on the wire (TPID << 16 | TCI, unsigned); 0 if none, and with
   * AF_XDP, where a tag stays in the frame unless the device takes it out. {@link restoreVlan} puts it back.
   */
  vlan(slot: number): number {
    return this.#word(slot, FrameRecord.vlan)
  }

  /** Of a frame with {@link FrameFlag.checksumPartial}: the byte from which on the checksum counts, from its first byte. */
  checksumStart(slot: number): number {
    return this.#word(slot, FrameRecord.checksum) >>> 16
  }

  /** Of a frame with {@link FrameFlag.checksumPartial}: where the checksum stands, from {@link checksumStart} on. */
  checksumOffset(slot: number): number {
    return this.#word(slot, FrameRecord.checksum) & 0xffff
  }

  /**
   * {@link SegmentType} of a super-frame: several segments of one connection that the kernel has not cut yet (TSO), or
   * has put together (GRO), under one set of headers. 0 for an ordinary frame.
   */
  segmentType(slot: number): number {
    return segmentTypeOf(this.#word(slot, FrameRecord.flags))
  }

  /** Payload bytes of each segment of a super-frame, the last one's fewer; 0 for an ordinary frame. */
  segmentSize(slot: number): number {
    return segmentSizeOf(this.#word(slot, FrameRecord.flags))
  }

  /**
   * Completes the transport checksum of a received frame with {@link FrameFlag.checksumPartial}, in place; of a
   * super-frame as one packet.
   *
   * @returns false when there was nothing to complete
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a frame that was cut
   */
  completeChecksum(slot: number): boolean {
    return completeChecksum(this.table, this.memory, this.table.slots.index(slot))
  }

  /**
   * Puts the {@link vlan} tag back into a received frame, which then begins four bytes earlier if it has `headroom`;
   * without, what follows its addresses is moved.
   *
   * @returns false when there was none
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a frame with no room before or behind it
   */
  restoreVlan(slot: number): boolean {
    return restoreVlan(this.table, this.memory, this.table.slots.index(slot))
  }

  /**
   * What a frame's own headers tell of its state, {@link FrameDoubt} bits, found by reading all of it: for the backends that
   * are not told (`report.untold`), whose {@link flags} and {@link segmentType} say nothing. 0: nothing is wrong, as far as
   * it is IP with TCP or UDP.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  inspect(slot: number): number {
    const at = this.offset(slot)
    return inspectFrame(this.memory, at, at + this.length(slot), this.interface.mtu)
  }

  /**
   * When the frame came, in whole seconds since 1970 (of a device's own clock, since whenever that began); 0 without
   * `timestamps`, and for a frame that the device did not stamp.
   */
  seconds(slot: number): number {
    return this.#word(slot, FrameRecord.seconds)
  }

  /** The rest of {@link seconds} in nanoseconds. */
  nanoseconds(slot: number): number {
    return this.#word(slot, FrameRecord.nanoseconds)
  }

  #word(slot: number, word: number): number {
    return this.table.word(slot, word)
  }
}

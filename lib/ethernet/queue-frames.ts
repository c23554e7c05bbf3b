import { type FramePool, FrameRecord, type FrameTable, tableOf } from './frames.js'
import { inspectFrame } from './inspect.js'
import type { NetworkInterface } from './interface/interfaces.js'
import { completeChecksum, restoreVlan, segmentSizeOf, segmentTypeOf } from './offload.js'

/** The frames of a queue by slot: their places, and the kernel's metadata. */
export abstract class QueueFrames {
  /** The interface as it was when the queue was opened. */
  declare readonly interface: NetworkInterface
  /** The frame pool. Open another queue with it to forward frames between the two. */
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

  /** Bytes of the frame on the wire: more than `length(slot)` when it was truncated. */
  originalLength(slot: number): number {
    return this.#word(slot, FrameRecord.originalLength)
  }

  /** {@link PacketType} of a received frame. */
  packetType(slot: number): number {
    return this.table.packetType(slot, this.memory, this.interface.macBytes)
  }

  /**
   * The VLAN tag that the kernel, or with `stripVlan` the device, stripped from the frame, as on the wire (TPID << 16 | TCI,
   * unsigned); 0 if none, and with AF_XDP, where a tag stays in the frame unless the device strips it. {@link restoreVlan}
   * puts it back.
   */
  vlan(slot: number): number {
    return this.#word(slot, FrameRecord.vlan)
  }

  /**
   * Of a frame with {@link FrameFlag.checksumPartial}: where the checksummed range begins, from the frame's first byte.
   */
  checksumStart(slot: number): number {
    return this.#word(slot, FrameRecord.checksum) >>> 16
  }

  /** Of a frame with {@link FrameFlag.checksumPartial}: the checksum's place, from {@link checksumStart} on. */
  checksumOffset(slot: number): number {
    return this.#word(slot, FrameRecord.checksum) & 0xffff
  }

  /**
   * {@link SegmentType} of a super-frame: several segments of one connection under one set of headers, which the kernel
   * has not cut yet (TSO) or has merged (GRO). 0 for an ordinary frame.
   */
  segmentType(slot: number): number {
    return segmentTypeOf(this.#word(slot, FrameRecord.flags))
  }

  /** Payload bytes of each segment of a super-frame; the last may have fewer. 0 for an ordinary frame. */
  segmentSize(slot: number): number {
    return segmentSizeOf(this.#word(slot, FrameRecord.flags))
  }

  /**
   * Completes the transport checksum of a received frame with {@link FrameFlag.checksumPartial}, in place. A
   * super-frame gets the checksum of one packet.
   *
   * @returns false when there was nothing to complete
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a truncated frame
   */
  completeChecksum(slot: number): boolean {
    return completeChecksum(this.table, this.memory, this.table.slots.index(slot))
  }

  /**
   * Puts the {@link vlan} tag back into a received frame. With `headroom` the frame then begins four bytes earlier;
   * without it, the bytes after its addresses move back.
   *
   * @returns false when there was no tag
   * @throws Error ERR_IBVERBS_STALE_SLOT, RangeError for a frame with no room before or behind it
   */
  restoreVlan(slot: number): boolean {
    return restoreVlan(this.table, this.memory, this.table.slots.index(slot))
  }

  /**
   * The frame's state as its own headers show it, in {@link FrameDoubt} bits. The call reads the whole frame, for
   * backends without this metadata (`report.untold`), whose `flags(slot)` and {@link segmentType} do not show it. 0: no
   * fault found, as far as the frame is IP with TCP or UDP.
   *
   * @throws Error ERR_IBVERBS_STALE_SLOT
   */
  inspect(slot: number): number {
    const at = this.#word(slot, FrameRecord.offset)
    return inspectFrame(this.memory, at, at + this.#word(slot, FrameRecord.length), this.interface.mtu)
  }

  /**
   * Arrival time of the frame, in whole seconds since 1970 (of a device's own clock: since that clock's epoch); 0
   * without `timestamps`, and for a frame that the device did not stamp.
   */
  seconds(slot: number): number {
    return this.#word(slot, FrameRecord.seconds)
  }

  /** The nanoseconds after {@link seconds}. */
  nanoseconds(slot: number): number {
    return this.#word(slot, FrameRecord.nanoseconds)
  }

  #word(slot: number, word: number): number {
    return this.table.word(slot, word)
  }
}

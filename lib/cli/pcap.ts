/**
 * Captures in the classic pcap format (pcap-savefile(5)): a header of 24 bytes, then for each frame a header of 16 and
 * its bytes. Written in little-endian order, with timestamps in microseconds or nanoseconds.
 */

export const LINKTYPE_ETHERNET = 1
const MAGIC_MICROSECONDS = 0xa1b2c3d4
const MAGIC_NANOSECONDS = 0xa1b23c4d
const fileHeaderLength = 24
const recordHeaderLength = 16

export interface PcapOptions {
  /** How many bytes of a frame are kept at most. */
  snapLength: number
  /** Timestamps in nanoseconds instead of microseconds. */
  nanoseconds?: boolean
}

/** The header at the beginning of a capture. */
export function pcapHeader({ snapLength, nanoseconds = false }: PcapOptions): Buffer {
  const header = Buffer.alloc(fileHeaderLength)
  header.writeUInt32LE(nanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  // Time zone and accuracy, at 8 and 12, are zero by convention.
  header.writeUInt32LE(snapLength, 16)
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20)
  return header
}

/** Collects frames in one buffer, to be written out in large pieces. */
export class PcapBuffer {
  readonly #snapLength: number
  readonly #unit: number
  readonly #bytes: Buffer
  #used = 0

  /** @param capacity bytes; a frame larger than all of it is cut to the snap length first */
  constructor({ snapLength, nanoseconds = false }: PcapOptions, capacity = 1 << 18) {
    this.#snapLength = snapLength
    this.#unit = nanoseconds ? 1 : 1000
    this.#bytes = Buffer.allocUnsafe(Math.max(capacity, recordHeaderLength + snapLength))
  }

  /**
   * Adds a frame; false, taking nothing, when it does not fit until the buffer is taken.
   *
   * @param seconds since 1970
   * @param nanoseconds within the second
   * @param frame what was captured of it
   * @param length what was on the wire
   */
  add(seconds: number, nanoseconds: number, frame: Uint8Array, length = frame.length): boolean {
    const kept = Math.min(frame.length, this.#snapLength)
    const end = this.#used + recordHeaderLength + kept
    if (end > this.#bytes.length) return false
    const at = this.#used
    // Unsigned, so that captures last until 2106.
    this.#bytes.writeUInt32LE(seconds >>> 0, at)
    this.#bytes.writeUInt32LE(Math.floor(nanoseconds / this.#unit), at + 4)
    this.#bytes.writeUInt32LE(kept, at + 8)
    this.#bytes.writeUInt32LE(length, at + 12)
    this.#bytes.set(kept === frame.length ? frame : frame.subarray(0, kept), at + recordHeaderLength)
    this.#used = end
    return true
  }

  /** What was added since the last time; valid until the next add. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#used)
    this.#used = 0
    return taken
  }
}

/** Captures being written: what both formats have in common. */
import { integer, type Names, rangeError } from '../argument.js'
import { defaultSnapLength, mostBytes } from './captured-frame.js'

/** Options of both encoders. */
export interface EncoderOptions {
  /** How many bytes of a frame are kept at most. Default 262144, as tcpdump's: all of it. */
  snapLength?: number
  /** Bytes collected before {@link FrameEncoder.take} must come. Default 256 KiB. */
  capacity?: number
}
export const encoderOptionNames = {
  snapLength: true,
  capacity: true,
} as const satisfies Names<EncoderOptions>

/** Counters of a capture's interface, in frames; what is left out is not told. */
export interface CaptureStatistics {
  /** received by the interface */
  received?: number
  /** lost because nobody read and the buffer was full */
  dropped?: number
}

/** Collects frames in one buffer, to be written out in large pieces. */
export abstract class FrameEncoder {
  /** How many bytes of a frame are kept at most. */
  readonly snapLength: number
  protected readonly bytes: Buffer
  protected used = 0

  constructor(options: EncoderOptions, overhead: number) {
    const { snapLength = defaultSnapLength, capacity = 1 << 18 } = options
    this.snapLength = integer('options.snapLength', snapLength, 1, mostBytes)
    integer('options.capacity', capacity, 0, 2 ** 30)
    this.bytes = Buffer.allocUnsafe(Math.max(capacity, overhead + snapLength))
  }

  /** What a capture begins with. */
  abstract header(): Uint8Array

  /**
   * Adds a frame; false, taking nothing, when it does not fit until the buffer is taken.
   *
   * @param seconds since 1970
   * @param nanoseconds within the second
   * @param frame what was captured of it
   * @param length what was on the wire
   * @param packetType to whom it was addressed (`PacketType`); −1: not known
   * @param interfaceId on which of the capture's interfaces
   * @throws RangeError for a time that the format cannot hold, and a length below that of what was captured
   */
  abstract add(
    seconds: number,
    nanoseconds: number,
    frame: Uint8Array,
    length?: number,
    packetType?: number,
    interfaceId?: number,
  ): boolean

  /** What was added since the last time; valid until the next add. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.used)
    this.used = 0
    return taken
  }

  /**
   * What a capture ends with: nothing in the pcap format.
   *
   * @param _statistics one for each interface
   */
  trailer(_statistics: readonly CaptureStatistics[]): Uint8Array {
    return new Uint8Array(0)
  }
}

/** What no format can hold, or holds as something else: refused by name. */
export function checkFrame(
  seconds: number,
  nanoseconds: number,
  frame: Uint8Array,
  length: number,
  latestSecond: number,
): void {
  if (!(seconds >= 0 && seconds <= latestSecond)) integer('seconds', seconds, 0, latestSecond)
  if (!(nanoseconds >= 0 && nanoseconds < 1e9)) integer('nanoseconds', nanoseconds, 0, 999_999_999)
  if (!(length >= frame.length && length <= 0xffffffff)) {
    throw rangeError(
      'length',
      `at least the ${frame.length} bytes that were captured, and below 2^32`,
      length,
    )
  }
}

/** What the encoders of both formats share. */
import { integer, type Names, rangeError } from '../argument.js'
import { defaultSnapLength, maxFrameBytes } from './captured-frame.js'

/** Options of both encoders. */
export interface EncoderOptions {
  /** Snapshot length: the most bytes kept of a frame. Default 262144, as tcpdump's: all of it. */
  snapLength?: number
  /** Size of the buffer, which {@link FrameEncoder.take} empties. Default 256 KiB. */
  capacity?: number
}
export const encoderOptionNames = {
  snapLength: true,
  capacity: true,
} as const satisfies Names<EncoderOptions>

/** Counters of a capture's interface, in frames; a counter left out is not written. */
export interface CaptureStatistics {
  /** frames the interface received */
  received?: number
  /** frames lost because the reader was too slow and the buffer full */
  dropped?: number
}

/** Collects frames in one buffer, to be written in large pieces. */
export abstract class FrameEncoder {
  /** Snapshot length: the most bytes kept of a frame. */
  readonly snapLength: number
  protected readonly bytes: Buffer
  protected used = 0

  constructor(options: EncoderOptions, overhead: number) {
    const { snapLength = defaultSnapLength, capacity = 1 << 18 } = options
    this.snapLength = integer('options.snapLength', snapLength, 1, maxFrameBytes)
    integer('options.capacity', capacity, 0, 2 ** 30)
    this.bytes = Buffer.allocUnsafe(Math.max(capacity, overhead + snapLength))
  }

  /** The bytes at the beginning of a capture. */
  abstract header(): Uint8Array

  /**
   * Adds a frame; returns false, and adds nothing, when the buffer is too full for it.
   *
   * @param seconds since 1970
   * @param nanoseconds within the second
   * @param frame the captured bytes
   * @param length of the frame on the wire
   * @param packetType whom it was addressed to (`PacketType`); −1: not known
   * @param interfaceId index of the capture's interface
   * @throws RangeError for a time that the format cannot hold, and for a length below that of the captured bytes
   */
  abstract add(
    seconds: number,
    nanoseconds: number,
    frame: Uint8Array,
    length?: number,
    packetType?: number,
    interfaceId?: number,
  ): boolean

  /** The bytes added since the last call; valid until the next add. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.used)
    this.used = 0
    return taken
  }

  /**
   * The bytes at the end of a capture: none in the pcap format.
   *
   * @param _statistics one for each interface
   */
  trailer(_statistics: readonly CaptureStatistics[]): Uint8Array {
    return new Uint8Array(0)
  }
}

/** Refuses, by argument name, values that no format can hold or that it would hold as something else. */
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

import { boolean, type Names, options as optionsOf } from '../argument.js'
import { ethernetLinkType } from './captured-frame.js'
import { checkFrame, type EncoderOptions, encoderOptionNames, FrameEncoder } from './encoder.js'

/** The parser alone knows `modified`, which libpcap's sf-pcap.c calls KUZNETZOV_TCPDUMP_MAGIC. */
export const pcapMagic = { microseconds: 0xa1b2c3d4, nanoseconds: 0xa1b23c4d, modified: 0xa1b2cd34 } as const
export const pcapHeaderLength = 24
export const pcapRecordLength = 16
/** In the year 2106: the format stores seconds in 32 bits. */
const latestSecond = 2 ** 32 - 1

/** Options of {@link PcapEncoder}. */
export interface PcapEncoderOptions extends EncoderOptions {
  /** Timestamps in nanoseconds instead of microseconds. Default false. */
  nanoseconds?: boolean
}
const pcapEncoderOptionNames = {
  ...encoderOptionNames,
  nanoseconds: true,
} as const satisfies Names<PcapEncoderOptions>

/**
 * The classic pcap format (pcap-savefile(5)): a header of 24 bytes, then for each frame a header of 16 and its bytes.
 * Written in little-endian order, with one interface and seconds until 2106; the format has neither directions nor
 * statistics.
 */
export class PcapEncoder extends FrameEncoder {
  readonly #magic: number
  readonly #unit: number

  /** @throws TypeError, RangeError */
  constructor(options?: PcapEncoderOptions) {
    const given = optionsOf('options', options, pcapEncoderOptionNames)
    super(given, pcapRecordLength)
    const nanoseconds = boolean('options.nanoseconds', given.nanoseconds ?? false)
    this.#magic = nanoseconds ? pcapMagic.nanoseconds : pcapMagic.microseconds
    this.#unit = nanoseconds ? 1 : 1000
  }

  override header(): Uint8Array {
    const header = Buffer.alloc(pcapHeaderLength)
    header.writeUInt32LE(this.#magic, 0)
    header.writeUInt16LE(2, 4)
    header.writeUInt16LE(4, 6)
    // Time zone and accuracy, at 8 and 12, are zero by convention.
    header.writeUInt32LE(this.snapLength, 16)
    header.writeUInt32LE(ethernetLinkType, 20)
    return header
  }

  override add(seconds: number, nanoseconds: number, frame: Uint8Array, length = frame.length): boolean {
    checkFrame(seconds, nanoseconds, frame, length, latestSecond)
    const kept = Math.min(frame.length, this.snapLength)
    const end = this.used + pcapRecordLength + kept
    if (end > this.bytes.length) return false
    const at = this.used
    this.bytes.writeUInt32LE(seconds, at)
    this.bytes.writeUInt32LE(Math.floor(nanoseconds / this.#unit), at + 4)
    this.bytes.writeUInt32LE(kept, at + 8)
    this.bytes.writeUInt32LE(length, at + 12)
    this.bytes.set(kept === frame.length ? frame : frame.subarray(0, kept), at + pcapRecordLength)
    this.used = end
    return true
  }
}

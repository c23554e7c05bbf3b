import { mostBytes } from './captured-frame.js'
import type { Dialect, FoundFrame } from './parser.js'
import { pcapHeaderLength, pcapMagic, pcapRecordLength } from './pcap-encoder.js'

/** The classic pcap format (pcap-savefile(5)), of either byte order. */
export class PcapDialect implements Dialect {
  readonly name = 'pcap'
  readonly #littleEndian: boolean
  /** Nanoseconds in a unit of the timestamps. */
  readonly #unit: number
  #linkType = -1
  /** Bytes of the check sequence at each frame's end. */
  #trailing = 0

  /** The dialect, by the magic number at the beginning; undefined for something else. */
  static of(view: DataView): PcapDialect | undefined {
    for (const littleEndian of [true, false]) {
      const magic = view.getUint32(0, littleEndian)
      if (magic === pcapMagic.microseconds) return new PcapDialect(littleEndian, 1000)
      if (magic === pcapMagic.nanoseconds) return new PcapDialect(littleEndian, 1)
    }
    return undefined
  }

  private constructor(littleEndian: boolean, unit: number) {
    this.#littleEndian = littleEndian
    this.#unit = unit
  }

  read(view: DataView, at: number, end: number, found: FoundFrame): number {
    if (this.#linkType < 0) return this.#readHeader(view, at, end)
    if (at + pcapRecordLength > end) return 0
    const little = this.#littleEndian
    const captured = view.getUint32(at + 8, little)
    if (captured > mostBytes) throw new Error(`a frame of ${captured} bytes is not believed`)
    const total = pcapRecordLength + captured
    if (at + total > end) return 0
    const original = view.getUint32(at + 12, little)
    found.found = true
    found.seconds = view.getUint32(at, little)
    found.nanoseconds = view.getUint32(at + 4, little) * this.#unit
    found.offset = at + pcapRecordLength
    found.originalLength = Math.max(0, original - this.#trailing)
    found.length = Math.min(captured, found.originalLength)
    found.linkType = this.#linkType
    return total
  }

  #readHeader(view: DataView, at: number, end: number): number {
    if (at + pcapHeaderLength > end) return 0
    const major = view.getUint16(at + 4, this.#littleEndian)
    if (major !== 2) throw new Error(`version ${major} of the pcap format is not known here`)
    const word = view.getUint32(at + 20, this.#littleEndian)
    this.#linkType = word & 0xffff
    // Bit 26 says that the upper four are the check sequence's length, in units of 16 bits.
    this.#trailing = word & 0x04000000 ? (word >>> 28) * 2 : 0
    return pcapHeaderLength
  }
}

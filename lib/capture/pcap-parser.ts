import { maxFrameBytes, setLengths, setTime } from './captured-frame.js'
import type { Dialect, FoundFrame } from './dialect.js'
import { pcapHeaderLength, pcapMagic, pcapRecordLength } from './pcap-encoder.js'

/** Behind the record's header in the modified format: interface index (4), protocol (2), packet type (1), padding (1). */
const modifiedLength = 8
const packetTypeOffset = 6
/** PACKET_OUTGOING, the last sll_pkttype of packet(7) that a capture has. */
const maxPacketType = 4

/** Which of a record's two lengths comes first: before version 2.3 the original one did; writers of 2.3 differ. */
type LengthOrder = 'captured first' | 'original first' | 'the shorter is what was captured'

/**
 * The classic pcap format (pcap-savefile(5)), of either byte order, and two variants that libpcap reads as well (sf-pcap.c):
 * the one modified by Alexey Kuznetzov, which stores Linux's packet type in each record, and versions before 2.4.
 */
export class PcapDialect implements Dialect {
  readonly name = 'pcap'
  readonly #littleEndian: boolean
  /** Nanoseconds in a unit of the timestamps. */
  readonly #unit: number
  readonly #modified: boolean
  #lengths: LengthOrder = 'captured first'
  #linkType = -1
  /** Bytes of check sequence at each frame's end. */
  #trailing = 0

  /** The dialect by the magic number; undefined for any other. */
  static of(view: DataView): PcapDialect | undefined {
    for (const littleEndian of [true, false]) {
      const magic = view.getUint32(0, littleEndian)
      if (magic === pcapMagic.microseconds) return new PcapDialect(littleEndian, 1000)
      if (magic === pcapMagic.nanoseconds) return new PcapDialect(littleEndian, 1)
      if (magic === pcapMagic.modified) return new PcapDialect(littleEndian, 1000, true)
    }
    return undefined
  }

  private constructor(littleEndian: boolean, unit: number, modified = false) {
    this.#littleEndian = littleEndian
    this.#unit = unit
    this.#modified = modified
  }

  read(view: DataView, at: number, end: number, found: FoundFrame): number {
    if (this.#linkType < 0) return this.#readHeader(view, at, end)
    const header = pcapRecordLength + (this.#modified ? modifiedLength : 0)
    if (at + header > end) return 0
    const little = this.#littleEndian
    let captured = view.getUint32(at + 8, little)
    let original = view.getUint32(at + 12, little)
    if (
      this.#lengths === 'original first' ||
      (this.#lengths === 'the shorter is what was captured' && captured > original)
    ) {
      ;[captured, original] = [original, captured]
    }
    if (captured > maxFrameBytes) throw new Error(`a frame of ${captured} bytes is implausible`)
    const total = header + captured
    if (at + total > end) return 0
    found.found = true
    setTime(found, view.getUint32(at, little), view.getUint32(at + 4, little) * this.#unit)
    found.offset = at + header
    setLengths(found, captured, original, this.#trailing)
    found.linkType = this.#linkType
    if (this.#modified) {
      const type = view.getUint8(at + pcapRecordLength + packetTypeOffset)
      found.packetType = type <= maxPacketType ? type : -1
    }
    return total
  }

  #readHeader(view: DataView, at: number, end: number): number {
    if (at + pcapHeaderLength > end) return 0
    const major = view.getUint16(at + 4, this.#littleEndian)
    const minor = view.getUint16(at + 6, this.#littleEndian)
    if (major !== 2) throw new Error(`version ${major}.${minor} of the pcap format is not supported`)
    if (minor < 3) this.#lengths = 'original first'
    else if (minor === 3) this.#lengths = 'the shorter is what was captured'
    const word = view.getUint32(at + 20, this.#littleEndian)
    this.#linkType = word & 0xffff
    // Bit 26 says that the upper four bits hold the check sequence's length, in units of 16 bits.
    this.#trailing = word & 0x04000000 ? (word >>> 28) * 2 : 0
    return pcapHeaderLength
  }
}

import { maxFrameBytes, setLengths } from './captured-frame.js'
import type { Dialect, FoundFrame } from './dialect.js'
import {
  Block,
  byteOrderMagic,
  checkSequenceLength,
  Option,
  packetTypeOf,
  padded,
  trailingOf,
} from './pcapng-format.js'
import { Ticks } from './timestamp.js'

/** Type and length before the body, length again behind it. */
const envelope = 12
/** As in libpcap: a longer block means a corrupt capture. */
const maxBlockBytes = 1 << 24

interface Interface {
  linkType: number
  snapLength: number
  ticks: Ticks
  trailing: number
}

/** The pcapng format: sections of either byte order, one after another, each with interfaces of its own. */
export class PcapngDialect implements Dialect {
  readonly name = 'pcapng'
  #littleEndian = true
  #interfaces: Interface[] = []

  read(view: DataView, at: number, end: number, found: FoundFrame): number {
    if (at + envelope > end) return 0
    // The section header's type reads the same in either byte order.
    if (view.getUint32(at) === Block.section) this.#order(view, at)
    const little = this.#littleEndian
    const type = view.getUint32(at, little)
    const total = view.getUint32(at + 4, little)
    if (total < envelope || total % 4 !== 0 || total > maxBlockBytes) {
      throw new Error(`a block cannot have ${total} bytes`)
    }
    if (at + total > end) return 0
    const again = view.getUint32(at + total - 4, little)
    if (again !== total) throw new Error(`the block's length is ${total} before it and ${again} behind it`)
    const body = at + 8
    const behind = at + total - 4
    if (type === Block.section) this.#section(view, body, behind)
    else if (type === Block.interface) this.#interface(view, body, behind)
    else if (type === Block.enhancedPacket)
      this.#packet(view, body, behind, found, view.getUint32(body, little))
    else if (type === Block.packet) this.#packet(view, body, behind, found, view.getUint16(body, little))
    else if (type === Block.simplePacket) this.#simplePacket(view, body, behind, found)
    return total
  }

  /** Sets the byte order of a new section. */
  #order(view: DataView, at: number): void {
    const little = view.getUint32(at + 8, true) === byteOrderMagic
    if (!little && view.getUint32(at + 8) !== byteOrderMagic)
      throw new Error('a section without a byte order')
    this.#littleEndian = little
  }

  #section(view: DataView, body: number, behind: number): void {
    need(body + 16, behind, 'a section header')
    const major = view.getUint16(body + 4, this.#littleEndian)
    if (major !== 1) throw new Error(`version ${major} of the pcapng format is not supported`)
    this.#interfaces = []
  }

  #interface(view: DataView, body: number, behind: number): void {
    need(body + 8, behind, 'an interface description')
    let perSecond = 1e6
    let offset = 0
    let trailing = 0
    this.#options(view, body + 8, behind, (code, value, length) => {
      if (code === Option.resolution && length >= 1) {
        const exponent = view.getUint8(value)
        perSecond = exponent & 0x80 ? 2 ** (exponent & 0x7f) : 10 ** exponent
      } else if (code === Option.offset && length >= 8) {
        offset = Number(view.getBigInt64(value, this.#littleEndian))
      } else if (code === Option.checkSequence && length >= 1)
        trailing = checkSequenceLength(view.getUint8(value))
    })
    this.#interfaces.push({
      linkType: view.getUint16(body, this.#littleEndian),
      snapLength: view.getUint32(body + 4, this.#littleEndian),
      ticks: new Ticks(perSecond, offset),
      trailing,
    })
  }

  /** Enhanced packet blocks and packet blocks differ in their first word only. */
  #packet(view: DataView, body: number, behind: number, found: FoundFrame, id: number): void {
    need(body + 20, behind, 'a packet')
    const little = this.#littleEndian
    const captured = view.getUint32(body + 12, little)
    const original = view.getUint32(body + 16, little)
    const { ticks, trailing } = this.#fill(found, body + 20, behind, id, captured, original)
    ticks.split(view.getUint32(body + 4, little), view.getUint32(body + 8, little))
    found.seconds = ticks.seconds
    found.nanoseconds = ticks.nanoseconds
    // Most blocks have no options.
    const options = body + 20 + padded(captured)
    if (options + 8 > behind) return
    const flags = this.#packetFlags(view, options, behind)
    found.packetType = packetTypeOf(flags)
    const own = trailingOf(flags)
    if (own > 0 && own !== trailing) setLengths(found, captured, original, own)
  }

  /** epb_flags from the options; 0 without one. */
  #packetFlags(view: DataView, from: number, behind: number): number {
    let flags = 0
    this.#options(view, from, behind, (code, value, length) => {
      if (code === Option.flags && length >= 4) flags = view.getUint32(value, this.#littleEndian)
    })
    return flags
  }

  #simplePacket(view: DataView, body: number, behind: number, found: FoundFrame): void {
    need(body + 4, behind, 'a simple packet')
    const original = view.getUint32(body, this.#littleEndian)
    const { snapLength } = this.#known(0)
    const captured = Math.min(original, snapLength || original, behind - body - 4)
    this.#fill(found, body + 4, behind, 0, captured, original)
    // A simple packet block has no time.
    found.seconds = 0
    found.nanoseconds = 0
  }

  #fill(
    found: FoundFrame,
    offset: number,
    behind: number,
    id: number,
    captured: number,
    original: number,
  ): Interface {
    const where = this.#known(id)
    if (captured > maxFrameBytes) throw new Error(`a frame of ${captured} bytes is implausible`)
    need(offset + captured, behind, 'a packet')
    found.found = true
    found.offset = offset
    setLengths(found, captured, original, where.trailing)
    found.interfaceId = id
    found.linkType = where.linkType
    found.packetType = -1
    return where
  }

  #known(id: number): Interface {
    const where = this.#interfaces[id]
    if (!where) throw new Error(`a frame of interface ${id}, which was not described`)
    return where
  }

  #options(
    view: DataView,
    from: number,
    behind: number,
    each: (code: number, value: number, length: number) => void,
  ): void {
    for (let at = from; at + 4 <= behind; ) {
      const code = view.getUint16(at, this.#littleEndian)
      const length = view.getUint16(at + 2, this.#littleEndian)
      if (code === Option.end) return
      need(at + 4 + length, behind, 'an option')
      each(code, at + 4, length)
      at += 4 + padded(length)
    }
  }
}

function need(at: number, behind: number, what: string): void {
  if (at > behind) throw new Error(`${what} does not fit into its block`)
}

/** What decoding gives: an entry of a ring as segments and fields, with what each byte is called and where that is defined. */
import { format as formatIpv6 } from '../../headers/ipv6.js'
import { formatMac } from '../../headers/mac.js'
import type { FieldLayout, Reading, Source, StructLayout } from '../layout/field.js'

/** A field, read. */
export interface DecodedField {
  /** As this package calls it, in camelCase. */
  readonly name: string
  /** The member of the structure in C. */
  readonly member: string
  /** Bytes from the entry's start to the word that holds the field. */
  readonly offset: number
  /** Bytes of that word. */
  readonly length: number
  /** The highest and the lowest bit within the word. */
  readonly high: number
  readonly low: number
  /** A number; in a word of 8 bytes a bigint; of what is no number a copy of the bytes. */
  readonly value: number | bigint | Uint8Array
  /** The value as people read it: decimal, 0x…, a name, names joined by |, an address. */
  readonly text: string
}

/** A piece of an entry. */
export interface DecodedSegment {
  /** What it is, such as 'control segment'. */
  readonly title: string
  /** The structure in C. */
  readonly struct: string
  /** Where that is defined. */
  readonly source: Source
  /** Bytes from the entry's start. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
  readonly fields: readonly DecodedField[]
}

/** An entry of a ring, or a word of a doorbell. */
export interface DecodedEntry {
  /** What it is and does, such as 'send request 7: SEND, 74 bytes'. */
  readonly title: string
  /** A copy of its bytes. */
  readonly bytes: Uint8Array
  readonly segments: readonly DecodedSegment[]
}

/** Bytes that are no entry of the kind that was asked for: an Error with code ERR_IBVERBS_MLX5_DECODE. */
export class DecodeError extends Error {
  readonly code = 'ERR_IBVERBS_MLX5_DECODE'
  /** The byte, from the start of what was given, at which it is no longer one. */
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }

  static {
    DecodeError.prototype.name = 'DecodeError'
  }
}

/** 0x and as many digits as so many bits have. */
export const hexNumber = (value: number | bigint, bits = 8) =>
  `0x${value.toString(16).padStart(Math.ceil(bits / 4), '0')}`
/** Bytes in pairs of digits: '0a 1b'. */
export const hexBytes = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')

/** The entry's bytes, and what was found in them so far. Reads only what was copied: rings change while one looks. */
export class Reader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly segments: DecodedSegment[] = []

  /** @param bytes already a copy */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** A field of a structure that begins at `at`. */
  number(at: number, layout: FieldLayout): number {
    return Number(this.#word(at, layout))
  }

  /**
   * Adds a structure at `at`.
   *
   * @param names those of its fields that count; all without
   */
  add(at: number, layout: StructLayout, names = Object.keys(layout.fields)): void {
    const { title, struct, source, length } = layout
    if (at + length > this.bytes.length) {
      throw new DecodeError(
        `the ${title} takes ${length} bytes from ${at} on, and the entry ends at ${this.bytes.length}`,
        at,
      )
    }
    const fields = names.map((name) => this.field(at, name, layout.fields[name]))
    this.segments.push({ title, struct, source, offset: at, length, fields })
  }

  field(at: number, name: string, layout: FieldLayout): DecodedField {
    const { offset, length, high, low, member, reading } = layout
    const place = { name, member, offset: at + offset, length, high, low }
    if (reading.kind === 'bytes' || reading.kind === 'mac' || reading.kind === 'gid') {
      const value = this.bytes.slice(at + offset, at + offset + length)
      return { ...place, value, text: textsOfBytes[reading.kind](value) }
    }
    const value = this.#word(at, layout)
    return { ...place, value, text: textOf(value, high - low + 1, reading) }
  }

  /** 1, 2, 4 or 8 bytes. */
  #word(at: number, { offset, length, high, low }: FieldLayout): number | bigint {
    const place = at + offset
    if (length === 8)
      return (this.#view.getBigUint64(place) >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n)
    const word =
      length === 4
        ? this.#view.getUint32(place)
        : length === 2
          ? this.#view.getUint16(place)
          : this.#view.getUint8(place)
    return Math.floor(word / 2 ** low) % 2 ** (high - low + 1)
  }
}

const textsOfBytes = { bytes: hexBytes, mac: formatMac, gid: formatIpv6 } as const

function textOf(value: number | bigint, bits: number, reading: Reading): string {
  switch (reading.kind) {
    case 'hex':
      return hexNumber(value, bits)
    case 'name': {
      const [name] = Object.entries(reading.names).find(([, number]) => number === value) ?? []
      return name ?? `${hexNumber(value, bits)} (unknown)`
    }
    case 'flags': {
      const known = Object.entries(reading.flags).filter(([, bit]) => (Number(value) & bit) !== 0)
      const rest = known.reduce((rest, [, bit]) => rest & ~bit, Number(value))
      const names = known.map(([name]) => name)
      if (rest !== 0 || names.length === 0) names.push(hexNumber(rest, bits))
      return names.join(' | ')
    }
    default:
      return String(value)
  }
}

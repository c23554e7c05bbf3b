/** A frame and its text so far: reads bytes big-endian, and never beyond the captured ones. */
import * as ethernet from '../../headers/ethernet.js'
import * as ipv4 from '../../headers/ipv4.js'
import * as ipv6 from '../../headers/ipv6.js'
import { toHex } from '../hex.js'

/** A header that was captured in part, or has no valid end: tcpdump's '[|what]'. */
export class Truncated extends Error {
  constructor(readonly what: string) {
    super(`${what} is cut off`)
  }
}

/** Prints a payload of this EtherType; false, printing nothing, for an unknown one. */
export type PayloadPrinter = (frame: Dissection, type: number, at: number, end: number) => boolean

/** The depth of nested tunnels beyond which dissection stops. */
const deepest = 16

export class Dissection {
  readonly bytes: Uint8Array
  /** Whether to print link-level headers (tcpdump -e); without them, each protocol's name is printed. */
  readonly link: boolean
  text = ''
  readonly #view: DataView
  #depth = 0

  readonly #payload: PayloadPrinter

  constructor(bytes: Uint8Array, link: boolean, payload: PayloadPrinter) {
    this.bytes = bytes
    this.link = link
    this.#payload = payload
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  print(text: string): void {
    this.text += text
  }

  /** Prints a protocol's name, unless the link-level header already names it. */
  name(text: string): void {
    if (!this.link) this.text += text
  }

  /**
   * Prints the payload of a header.
   *
   * @param type its EtherType
   * @param end where it ended on the wire
   * @returns whether the type is known
   */
  payload(type: number, at: number, end: number): boolean {
    if (this.#depth >= deepest) {
      this.print('[nested too deep]')
      return true
    }
    this.#depth++
    const known = this.#payload(this, type, at, end)
    this.#depth--
    return known
  }

  /** @throws Truncated naming `what` unless bytes [at, at + length) were captured and lie before `end` */
  need(at: number, length: number, what: string, end = this.bytes.length): void {
    if (at + length > Math.min(end, this.bytes.length)) throw new Truncated(what)
  }

  has(at: number, length: number, end = this.bytes.length): boolean {
    return at + length <= Math.min(end, this.bytes.length)
  }

  u8(at: number): number {
    return this.#view.getUint8(at)
  }

  u16(at: number): number {
    return this.#view.getUint16(at)
  }

  u24(at: number): number {
    return this.#view.getUint32(at) >>> 8
  }

  u32(at: number): number {
    return this.#view.getUint32(at)
  }

  u64(at: number): bigint {
    return this.#view.getBigUint64(at)
  }

  /** Hexadecimal digits without separators. */
  hex(at: number, length: number): string {
    return toHex(this.bytes.subarray(at, at + length))
  }

  /** Text in a frame: an unprintable byte becomes a dot. */
  ascii(at: number, length: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + length)).replace(/[^ -~]/g, '.')
  }

  mac(at: number): string {
    return ethernet.format(this.bytes, at)
  }

  ipv4(at: number): string {
    return ipv4.format(this.u32(at))
  }

  ipv6(at: number): string {
    return ipv6.format(this.bytes, at)
  }
}

/** 0x and at least this many digits. */
export function hex(value: number | bigint, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`
}

/** The names of the set bits, lowest first. */
export function bits(value: number, names: readonly string[]): string {
  return names.filter((_, i) => value & (1 << i)).join('')
}

/** Reading a frame's fields: big-endian, and never beyond what was captured. */
import * as ethernet from '../../ethernet/headers/ethernet.js'
import * as ipv4 from '../../ethernet/headers/ipv4.js'
import * as ipv6 from '../../ethernet/headers/ipv6.js'

/** A header that was not captured whole. */
export class Truncated extends Error {
  constructor(readonly what: string) {
    super(`${what} is cut off`)
  }
}

export class FrameView {
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get length(): number {
    return this.bytes.length
  }

  /** @throws Truncated naming `what` unless bytes [at, at + length) are there */
  need(at: number, length: number, what: string): void {
    if (at + length > this.bytes.length) throw new Truncated(what)
  }

  u8(at: number): number {
    return this.#view.getUint8(at)
  }

  u16(at: number): number {
    return this.#view.getUint16(at)
  }

  u32(at: number): number {
    return this.#view.getUint32(at)
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

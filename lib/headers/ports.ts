/** The ports with which the headers of TCP (RFC 9293, 3.1) and UDP (RFC 768) begin. */
import { setU16, u16 } from './bytes.js'

/** The source port. */
export function sourcePort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at)
}

/** Sets {@link sourcePort}. */
export function setSourcePort(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, value)
}

/** The destination port. */
export function destinationPort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Sets {@link destinationPort}. */
export function setDestinationPort(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value)
}

/** UDP: RFC 768, and RFC 8200 (8.1) for its checksum over IPv6. */
import { IpProtocol } from './assigned-numbers.js'
import { setU16, u16, within } from './bytes.js'
import { finish, update, upperLayer } from './checksum.js'

export { destinationPort, setDestinationPort, setSourcePort, sourcePort } from './ports.js'

/** Bytes of the header. */
export const headerLength = 8

/** Whether a whole datagram lies before `end`: its length field fits. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  if (!within(bytes, at, end, headerLength)) return false
  const total = u16(bytes, at + 4)
  return total >= headerLength && at + total <= end
}

/** Bytes of header and data. */
export function length(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}

/** Sets {@link length}. */
export function setLength(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 4, value)
}

/** The checksum as stored; 0: none. */
export function checksum(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6)
}

/** Sets {@link checksum}. */
export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 6, value)
}

/** Where the data begins. */
export function payload(_bytes: Uint8Array, at: number): number {
  return at + headerLength
}

/** Where the data ends. */
export function payloadEnd(bytes: Uint8Array, at: number): number {
  return at + u16(bytes, at + 4)
}

/**
 * Writes a header without a checksum; returns the offset behind it. Call {@link writeChecksum} when the data is in place.
 *
 * @param payloadLength bytes that follow, up to 65527
 */
export function write(
  bytes: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  payloadLength: number,
): number {
  setU16(bytes, at, sourcePort)
  setU16(bytes, at + 2, destinationPort)
  setU16(bytes, at + 4, headerLength + payloadLength)
  setU16(bytes, at + 6, 0)
  return at + headerLength
}

/** Zero on the wire means no checksum: a computed zero is sent as all ones. */
function neverZero(checksum: number): number {
  return checksum === 0 ? 0xffff : checksum
}

/**
 * Computes the checksum over the data, the header and the pseudo-header, and writes it.
 *
 * @param ip where the IP header begins, of either version
 */
export function writeChecksum(bytes: Uint8Array, at: number, ip: number): void {
  setU16(bytes, at + 6, 0)
  const sum = upperLayer(bytes, at, ip, payloadEnd(bytes, at), IpProtocol.udp)
  setU16(bytes, at + 6, neverZero(finish(sum)))
}

/**
 * Whether the checksum is right. A missing one is right over IPv4, and wrong over IPv6, except for tunnels that agreed on it
 * (RFC 6935).
 *
 * @param ip where the IP header begins, of either version
 */
export function verifyChecksum(bytes: Uint8Array, at: number, ip: number): boolean {
  if (u16(bytes, at + 6) === 0) return bytes[ip] >>> 4 === 4
  return upperLayer(bytes, at, ip, payloadEnd(bytes, at), IpProtocol.udp) === 0xffff
}

/**
 * Updates the checksum after a change of 16 or 32 bits in the header, the data or the addresses of the IP header (RFC 1624).
 * A missing checksum stays missing.
 */
export function updateChecksum(bytes: Uint8Array, at: number, before: number, after: number): void {
  const checksum = u16(bytes, at + 6)
  if (checksum !== 0) setU16(bytes, at + 6, neverZero(update(checksum, before, after)))
}

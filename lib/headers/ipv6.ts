/**
 * IPv6: RFC 8200. Addresses are sixteen bytes (RFC 4291), read and written in place at `at + sourceOffset` and `at +
 * destinationOffset`. Their text form is that of RFC 5952.
 */
import { isIPv6 } from 'node:net'
import { instance, rangeError, string } from '../argument.js'
import { IpProtocol } from './assigned-numbers.js'
import { copy, equal, setU16, setU32, u16, u32, within } from './bytes.js'
import * as ipv4 from './ipv4.js'

/** Bytes of the header; extension headers follow it. */
export const headerLength = 40
/** Bytes of an address. */
export const addressLength = 16
/** Offset of the source address in the header. */
export const sourceOffset = 8
/** Offset of the destination address in the header. */
export const destinationOffset = 24

/**
 * Whether a whole packet lies before `end`: version and payload length fit. A jumbogram (RFC 2675) counts as an empty
 * packet.
 */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return within(bytes, at, end, headerLength) && bytes[at] >>> 4 === 6 && at + 40 + u16(bytes, at + 4) <= end
}

/** The version: 6. */
export function version(bytes: Uint8Array, at: number): number {
  return bytes[at] >>> 4
}

/** The traffic class: code point and congestion bits in one byte. */
export function trafficClass(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) >>> 4) & 255
}

/** Sets {@link trafficClass}. */
export function setTrafficClass(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, (u16(bytes, at) & 0xf00f) | ((value & 255) << 4))
}

/** The differentiated services code point, 0 to 63 (RFC 2474). */
export function dscp(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) >>> 6) & 63
}

/** Sets {@link dscp}. */
export function setDscp(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, (u16(bytes, at) & 0xf03f) | ((value & 63) << 6))
}

/** Explicit congestion notification, 0 to 3 (RFC 3168). */
export function ecn(bytes: Uint8Array, at: number): number {
  return (bytes[at + 1] >>> 4) & 3
}

/** Sets {@link ecn}. */
export function setEcn(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 1] = (bytes[at + 1] & 0xcf) | ((value & 3) << 4)
}

/** The flow label, 20 bits. */
export function flowLabel(bytes: Uint8Array, at: number): number {
  return u32(bytes, at) & 0xfffff
}

/** Sets {@link flowLabel}. */
export function setFlowLabel(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at, (u32(bytes, at) & 0xfff00000) | (value & 0xfffff))
}

/** Bytes behind the header, including extension headers. */
export function payloadLength(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}

/** Sets {@link payloadLength}. */
export function setPayloadLength(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 4, value)
}

/** The header that follows directly: an extension header or the upper layer. See {@link protocol}. */
export function nextHeader(bytes: Uint8Array, at: number): number {
  return bytes[at + 6]
}

/** Sets {@link nextHeader}. */
export function setNextHeader(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 6] = value
}

/** The hop limit. */
export function hopLimit(bytes: Uint8Array, at: number): number {
  return bytes[at + 7]
}

/** Sets {@link hopLimit}. */
export function setHopLimit(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 7] = value
}

/** Decrements the hop limit, as a forwarder does. False, nothing changed, when it was 0 or 1 (RFC 8200, 3). */
export function decrementHopLimit(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + 7] <= 1) return false
  bytes[at + 7]--
  return true
}

/** Writes the source address: sixteen bytes of `address` from `from`. */
export function setSource(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at + sourceOffset, address, from, addressLength)
}

/** Writes the destination address: sixteen bytes of `address` from `from`. */
export function setDestination(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at + destinationOffset, address, from, addressLength)
}

/** Copies an address; source and target must not overlap. */
export function copyAddress(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number): void {
  copy(to, toAt, from, fromAt, addressLength)
}

/** Whether two addresses are equal. */
export function equalAddress(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  return equal(a, aAt, b, bAt, addressLength)
}

/** Whether the address at `at` is a multicast address: ff00::/8. */
export function isMulticast(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff
}

/** Where the packet ends; bytes of the frame behind it are padding. */
export function packetEnd(bytes: Uint8Array, at: number): number {
  return at + headerLength + u16(bytes, at + 4)
}

/** Extension headers whose second byte is their length, in units of eight bytes beyond the first eight. */
function isExtension(header: number): boolean {
  return (
    header === IpProtocol.hopByHopOptions ||
    header === IpProtocol.routing ||
    header === IpProtocol.destinationOptions ||
    header === IpProtocol.mobility ||
    header === IpProtocol.hip ||
    header === IpProtocol.shim6
  )
}

const Want = { payload: 0, protocol: 1, fragment: 2 } as const

/** Skips the extension headers; returns where the next header begins, its protocol, or whether the packet is a fragment. */
function walk(bytes: Uint8Array, at: number, want: number): number {
  const end = packetEnd(bytes, at)
  if (end > bytes.length) return -1
  let header = bytes[at + 6]
  let next = at + headerLength
  let fragment = 0
  for (;;) {
    let length: number
    if (isExtension(header)) {
      if (next + 8 > end) return -1
      length = (bytes[next + 1] + 1) * 8
    } else if (header === IpProtocol.fragment) {
      if (next + 8 > end) return -1
      const position = u16(bytes, next + 2)
      if ((position & 0xfff9) !== 0) fragment = 1
      // Behind a later fragment's header comes the middle of a payload, not an upper layer's header.
      if ((position & 0xfff8) !== 0) return want === Want.payload ? -1 : want === Want.protocol ? header : 1
      length = 8
    } else if (header === IpProtocol.authentication) {
      if (next + 8 > end) return -1
      length = (bytes[next + 1] + 2) * 4
    } else {
      return want === Want.payload ? next : want === Want.protocol ? header : fragment
    }
    header = bytes[next]
    next += length
    if (next > end) return -1
  }
}

/**
 * Where the upper layer begins, behind the extension headers (RFC 8200, 4); −1 when they are cut off, and in a later
 * fragment, which has no upper-layer header. The packet must be valid.
 */
export function payload(bytes: Uint8Array, at: number): number {
  return walk(bytes, at, Want.payload)
}

/**
 * The upper layer, see `IpProtocol`: the last extension header's next header; 44 in a later fragment; −1 when the extension
 * headers are cut off. The packet must be valid.
 */
export function protocol(bytes: Uint8Array, at: number): number {
  return walk(bytes, at, Want.protocol)
}

/** Whether the packet is a fragment (RFC 8200, 4.5; not an atomic fragment of RFC 6946). */
export function isFragment(bytes: Uint8Array, at: number): boolean {
  return walk(bytes, at, Want.fragment) === 1
}

/**
 * Writes a header; returns the offset behind it. The addresses are sixteen bytes each.
 *
 * @param payloadLength bytes that follow, up to 65535
 * @param nextHeader see `IpProtocol`
 */
export function write(
  bytes: Uint8Array,
  at: number,
  payloadLength: number,
  nextHeader: number,
  source: Uint8Array,
  destination: Uint8Array,
  hopLimit = 64,
  trafficClass = 0,
  flowLabel = 0,
): number {
  setU32(bytes, at, (6 << 28) | ((trafficClass & 255) << 20) | (flowLabel & 0xfffff))
  setU16(bytes, at + 4, payloadLength)
  bytes[at + 6] = nextHeader
  bytes[at + 7] = hopLimit
  copy(bytes, at + sourceOffset, source, 0, addressLength)
  copy(bytes, at + destinationOffset, destination, 0, addressLength)
  return at + headerLength
}

/**
 * Formats an address as RFC 5952 says: lower case, the first of the longest runs of two or more zero groups as '::',
 * IPv4-mapped addresses as '::ffff:10.0.0.1'.
 *
 * @param offset where the address begins
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function format(bytes: Uint8Array, offset = 0): string {
  instance('bytes', bytes, Uint8Array)
  if (!Number.isInteger(offset) || offset < 0 || offset + addressLength > bytes.length) {
    throw rangeError('offset', `an offset with sixteen bytes behind it in ${bytes.length}`, offset)
  }
  const groups = Array.from({ length: 8 }, (_, i) => u16(bytes, offset + 2 * i))
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${ipv4.format(u32(bytes, offset + 12))}`
  }
  let [start, length] = [0, 0]
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && groups[i + run] === 0) run++
    if (run > length) [start, length] = [i, run]
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':')
  return length < 2 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}

/**
 * Parses an address in any form of RFC 4291 (2.2), without a zone, to its sixteen bytes.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function parse(text: string): Uint8Array {
  if (!isIPv6(string('text', text)) || text.includes('%')) {
    throw rangeError('text', "an IPv6 address like 'fe80::1', without a zone", text)
  }
  const hexadecimal = text.replace(/\d+\.\d+\.\d+\.\d+$/, (dotted) => {
    const address = ipv4.parse(dotted)
    return `${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`
  })
  const [head, tail] = hexadecimal.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const behind = tail ?? []
  const zeros = new Array<string>(8 - head.length - behind.length).fill('0')
  const bytes = new Uint8Array(addressLength)
  for (const [i, group] of [...head, ...zeros, ...behind].entries()) {
    setU16(bytes, 2 * i, Number.parseInt(group, 16))
  }
  return bytes
}

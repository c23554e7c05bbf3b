/**
 * IPv4: RFC 791, with the traffic class of RFC 2474 and RFC 3168. Addresses are unsigned 32-bit numbers.
 *
 * The setters leave the header checksum alone: call {@link writeChecksum} after several of them, or change a field together
 * with the checksum by {@link decrementTtl}, {@link replaceSource} and {@link replaceDestination} (RFC 1624).
 */
import { isIPv4 } from 'node:net'
import { rangeError, string } from '../argument.js'
import { setU16, setU32, u16, u32, within } from './bytes.js'
import { compute, replaceU16, replaceU32, verify } from './checksum.js'

/** Bytes of a header without options. */
export const minimumHeaderLength = 20
/** Bits of {@link flags}. */
export const Flag = { moreFragments: 1, dontFragment: 2 } as const

/**
 * Whether a whole packet lies before `end`: version, header length and total length fit. {@link verifyChecksum} checks the
 * checksum. A total length of zero, which segmentation offload leaves, is not valid.
 */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  if (!within(bytes, at, end, minimumHeaderLength) || bytes[at] >>> 4 !== 4) return false
  const header = headerLength(bytes, at)
  const total = u16(bytes, at + 2)
  return header >= minimumHeaderLength && total >= header && at + total <= end
}

/** The version: 4. */
export function version(bytes: Uint8Array, at: number): number {
  return bytes[at] >>> 4
}

/** Bytes of the header with its options, 20 to 60. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return (bytes[at] & 15) * 4
}

/** The differentiated services code point, 0 to 63. */
export function dscp(bytes: Uint8Array, at: number): number {
  return bytes[at + 1] >>> 2
}

/** Sets {@link dscp}. */
export function setDscp(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 1] = (value << 2) | (bytes[at + 1] & 3)
}

/** Explicit congestion notification, 0 to 3: 3 is "congestion experienced". */
export function ecn(bytes: Uint8Array, at: number): number {
  return bytes[at + 1] & 3
}

/** Sets {@link ecn}. */
export function setEcn(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 1] = (bytes[at + 1] & 0xfc) | (value & 3)
}

/** Bytes of header and payload. */
export function totalLength(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Sets {@link totalLength}. */
export function setTotalLength(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value)
}

/** The identification, by which the receiver reassembles fragments. */
export function identification(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}

/** Sets {@link identification}. */
export function setIdentification(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 4, value)
}

/** The flags, see {@link Flag}. */
export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at + 6] >>> 5
}

/** Sets {@link flags}. */
export function setFlags(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 6] = ((value & 7) << 5) | (bytes[at + 6] & 0x1f)
}

/** Where in the original payload this fragment begins, in bytes. */
export function fragmentOffset(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at + 6) & 0x1fff) * 8
}

/** Sets {@link fragmentOffset}: bytes, a multiple of 8. */
export function setFragmentOffset(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 6, (bytes[at + 6] & 0xe0) * 256 + ((value >>> 3) & 0x1fff))
}

/** Whether the packet is a fragment. Only the first fragment, with offset 0, has the upper layer's header. */
export function isFragment(bytes: Uint8Array, at: number): boolean {
  return (u16(bytes, at + 6) & 0x3fff) !== 0
}

/** Time to live, in hops. */
export function ttl(bytes: Uint8Array, at: number): number {
  return bytes[at + 8]
}

/** Sets {@link ttl}. */
export function setTtl(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 8] = value
}

/** The upper layer, see `IpProtocol`. */
export function protocol(bytes: Uint8Array, at: number): number {
  return bytes[at + 9]
}

/** Sets {@link protocol}. */
export function setProtocol(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 9] = value
}

/** The header checksum as stored. */
export function checksum(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 10)
}

/** Sets {@link checksum}. */
export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 10, value)
}

/** The source address. */
export function source(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 12)
}

/** Sets {@link source}. */
export function setSource(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 12, value)
}

/** The destination address. */
export function destination(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 16)
}

/** Sets {@link destination}. */
export function setDestination(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 16, value)
}

/** Where the payload begins, behind the options. */
export function payload(bytes: Uint8Array, at: number): number {
  return at + headerLength(bytes, at)
}

/** Where the packet ends; bytes of the frame behind it are padding. */
export function packetEnd(bytes: Uint8Array, at: number): number {
  return at + u16(bytes, at + 2)
}

/**
 * Writes a header without options, with its checksum; returns the offset behind it.
 *
 * @param payloadLength bytes that follow, up to 65515
 * @param identification may be 0 for a packet that is not fragmented (RFC 6864)
 * @param trafficClass code point and congestion bits in one byte
 */
export function write(
  bytes: Uint8Array,
  at: number,
  payloadLength: number,
  protocol: number,
  source: number,
  destination: number,
  ttl = 64,
  identification = 0,
  flags: number = Flag.dontFragment,
  trafficClass = 0,
): number {
  bytes[at] = 0x45
  bytes[at + 1] = trafficClass
  setU16(bytes, at + 2, minimumHeaderLength + payloadLength)
  setU16(bytes, at + 4, identification)
  setU16(bytes, at + 6, flags << 13)
  bytes[at + 8] = ttl
  bytes[at + 9] = protocol
  setU32(bytes, at + 12, source)
  setU32(bytes, at + 16, destination)
  writeChecksum(bytes, at)
  return at + minimumHeaderLength
}

/** Computes the header checksum and writes it. */
export function writeChecksum(bytes: Uint8Array, at: number): void {
  setU16(bytes, at + 10, 0)
  setU16(bytes, at + 10, compute(bytes, at, at + headerLength(bytes, at)))
}

/** Whether the header checksum is right. */
export function verifyChecksum(bytes: Uint8Array, at: number): boolean {
  return verify(bytes, at, at + headerLength(bytes, at))
}

/**
 * Decrements the time to live, as a forwarder does, and updates the checksum. False, nothing changed, when it was 0 or 1:
 * drop the packet then (RFC 1812, 5.3.1).
 */
export function decrementTtl(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + 8] <= 1) return false
  replaceU16(bytes, at + 10, at + 8, u16(bytes, at + 8) - 0x100)
  return true
}

/**
 * Replaces the source address and updates the header checksum. The upper layer's checksum covers the address too: update it
 * with its own `updateChecksum`.
 */
export function replaceSource(bytes: Uint8Array, at: number, value: number): void {
  replaceU32(bytes, at + 10, at + 12, value)
}

/** Replaces the destination address and updates the header checksum; see {@link replaceSource}. */
export function replaceDestination(bytes: Uint8Array, at: number, value: number): void {
  replaceU32(bytes, at + 10, at + 16, value)
}

/** An address as text: '10.0.0.1'. */
export function format(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/**
 * Parses an address such as '10.0.0.1'.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function parse(text: string): number {
  if (!isIPv4(string('text', text))) throw rangeError('text', "an IPv4 address like '10.0.0.1'", text)
  return text.split('.').reduce((address, part) => address * 256 + Number(part), 0)
}

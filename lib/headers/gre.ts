/** GRE: RFC 2784, with the key and sequence number of RFC 2890, over IPv4 or IPv6 (RFC 7676). */
import { boolean, integer, type Names, object } from '../argument.js'
import { EtherType, IpProtocol } from './assigned-numbers.js'
import { setU16, setU32, u16, u32, within } from './bytes.js'
import { compute, verify } from './checksum.js'
import {
  findUpperLayer,
  type OuterOptions,
  outerEnd,
  outerHeader,
  outerOptionNames,
  ownPart,
  wrap,
} from './tunnel.js'

/** Bytes of a header without options. */
export const minimumHeaderLength = 4
/** Bits of {@link flags}. */
export const Flag = { checksum: 0x8000, key: 0x2000, sequence: 0x1000 } as const
/**
 * Reserved bits and the version: a receiver must drop a packet with bit 1, 4 or 5 set, or a version other than 0 (RFC 2784,
 * 2.3).
 */
const unsupported = 0x4c07

/** Whether a header with its options lies before `end`, of version 0 and without RFC 1701's routing. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    within(bytes, at, end, minimumHeaderLength) &&
    (u16(bytes, at) & unsupported) === 0 &&
    at + headerLength(bytes, at) <= end
  )
}

/** The first 16 bits: flags, see {@link Flag}, reserved bits and the version. */
export function flags(bytes: Uint8Array, at: number): number {
  return u16(bytes, at)
}

/** Bytes of the header according to its flags: 4, and 4 each for checksum, key and sequence number. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return lengthOf(u16(bytes, at))
}

function lengthOf(flags: number): number {
  return minimumHeaderLength + 4 * ((flags >>> 15) + ((flags >>> 13) & 1) + ((flags >>> 12) & 1))
}

/** The EtherType of the payload. */
export function protocol(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Sets {@link protocol}. */
export function setProtocol(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value)
}

/** Whether there is a checksum. */
export function hasChecksum(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 0x80) !== 0
}

/** The checksum, if {@link hasChecksum}. */
export function checksum(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}

/** Whether there is a key. */
export function hasKey(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 0x20) !== 0
}

function keyAt(bytes: Uint8Array, at: number): number {
  return at + (hasChecksum(bytes, at) ? 8 : 4)
}

/** The key, if {@link hasKey}; 0 if not. */
export function key(bytes: Uint8Array, at: number): number {
  return hasKey(bytes, at) ? u32(bytes, keyAt(bytes, at)) : 0
}

/** Sets {@link key}, if {@link hasKey}. */
export function setKey(bytes: Uint8Array, at: number, value: number): void {
  if (hasKey(bytes, at)) setU32(bytes, keyAt(bytes, at), value)
}

/** Whether there is a sequence number. */
export function hasSequence(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 0x10) !== 0
}

/** The sequence number, if {@link hasSequence}; 0 if not. It is the header's last field. */
export function sequence(bytes: Uint8Array, at: number): number {
  return hasSequence(bytes, at) ? u32(bytes, at + headerLength(bytes, at) - 4) : 0
}

/** Sets {@link sequence}, if {@link hasSequence}. */
export function setSequence(bytes: Uint8Array, at: number, value: number): void {
  if (hasSequence(bytes, at)) setU32(bytes, at + headerLength(bytes, at) - 4, value)
}

/** Where the payload begins. */
export function payload(bytes: Uint8Array, at: number): number {
  return at + headerLength(bytes, at)
}

/**
 * Writes a header; returns the offset behind it. With {@link Flag}'s `checksum` the field is zero: call
 * {@link writeChecksum} when the payload is in place.
 *
 * @param flags see {@link Flag}
 * @param protocol an EtherType
 */
export function write(
  bytes: Uint8Array,
  at: number,
  flags: number,
  protocol: number,
  key = 0,
  sequence = 0,
): number {
  setU16(bytes, at, flags)
  setU16(bytes, at + 2, protocol)
  if (hasChecksum(bytes, at)) setU32(bytes, at + 4, 0)
  setKey(bytes, at, key)
  setSequence(bytes, at, sequence)
  return at + headerLength(bytes, at)
}

/** Computes the checksum over header and payload up to `end`, and writes it, if {@link hasChecksum}. */
export function writeChecksum(bytes: Uint8Array, at: number, end: number): void {
  if (!hasChecksum(bytes, at)) return
  setU16(bytes, at + 4, 0)
  setU16(bytes, at + 4, compute(bytes, at, end))
}

/** Whether the checksum is right, or there is none. */
export function verifyChecksum(bytes: Uint8Array, at: number, end: number): boolean {
  return !hasChecksum(bytes, at) || verify(bytes, at, end)
}

/** Options of {@link outer}. */
export interface GreOuterOptions extends OuterOptions {
  /** EtherType of the payload. Default 0x6558, a whole Ethernet frame, as the kernel's gretap sends. */
  protocol?: number
  /** Key, 32 bits. Default: none. */
  key?: number
  /** Whether the header has a sequence number, which {@link push} takes. Default false. */
  sequence?: boolean
  /** Whether the header has a checksum over header and payload. Default false. */
  checksum?: boolean
}
const greOuterOptionNames = {
  ...outerOptionNames,
  protocol: true,
  key: true,
  sequence: true,
  checksum: true,
} as const satisfies Names<GreOuterOptions>

/**
 * The outer header for {@link push}, prepared once: Ethernet, IP and GRE.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function outer(options: GreOuterOptions): Uint8Array {
  object('options', options, 'an object', greOuterOptionNames)
  const protocol = integer('options.protocol', options.protocol ?? EtherType.transparentBridging, 0, 0xffff)
  const key = integer('options.key', options.key ?? 0, 0, 0xffffffff)
  const flags =
    (boolean('options.checksum', options.checksum ?? false) ? Flag.checksum : 0) |
    (options.key === undefined ? 0 : Flag.key) |
    (boolean('options.sequence', options.sequence ?? false) ? Flag.sequence : 0)
  const header = outerHeader(options, IpProtocol.gre, lengthOf(flags))
  write(header, ownPart(header), flags, protocol, key)
  return header
}

/**
 * Encapsulates a frame or packet at [at, end) in GRE: writes the outer header into its headroom and moves nothing. For a
 * packet without its Ethernet header, `at` is where its IP header begins.
 *
 * @param start the first byte that the frame may use, such as where its slot begins: `at - (at % frameSize)`
 * @param outer of {@link outer}
 * @param sequence number, if the outer header has one
 * @returns where the frame begins now, or −1, nothing changed, when the headroom is too small or the packet too long
 */
export function push(
  bytes: Uint8Array,
  at: number,
  end: number,
  start: number,
  outer: Uint8Array,
  sequence = 0,
): number {
  const to = wrap(bytes, at, end, start, outer)
  if (to < 0) return -1
  const header = to + ownPart(outer)
  setSequence(bytes, header, sequence)
  writeChecksum(bytes, header, end)
  return to
}

/**
 * Where in the frame at [at, end) a GRE header begins, behind Ethernet, tags and IP; −1 when there is none, or when it or a
 * header before it is not valid.
 */
export function find(bytes: Uint8Array, at: number, end: number): number {
  const header = findUpperLayer(bytes, at, end, IpProtocol.gre)
  return header >= 0 && isValid(bytes, header, outerEnd(bytes, at, end)) ? header : -1
}

/**
 * Where the payload of the GRE frame at [at, end) begins: a frame or a packet, according to {@link protocol} at
 * {@link find}. It ends at {@link payloadEnd}, with the outer packet. Moves nothing and checks no checksum.
 *
 * @returns an offset, or −1 when there is no GRE header
 */
export function pop(bytes: Uint8Array, at: number, end: number): number {
  const header = find(bytes, at, end)
  return header < 0 ? -1 : payload(bytes, header)
}

/** Where the payload of a frame at [at, end) ends, after {@link find} or {@link pop} found GRE in it. */
export function payloadEnd(bytes: Uint8Array, at: number, end: number): number {
  return outerEnd(bytes, at, end)
}

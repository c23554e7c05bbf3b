/** TCP: RFC 9293, with the congestion flags of RFC 3168. */
import { IpProtocol } from './assigned-numbers.js'
import { setU16, setU32, u16, u32, within } from './bytes.js'
import { finish, packetEnd, update, upperLayer } from './checksum.js'

export { destinationPort, setDestinationPort, setSourcePort, sourcePort } from './ports.js'

/** Bytes of a header without options. */
export const minimumHeaderLength = 20
/** Bits of {@link flags}. */
export const Flag = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const
/** Option kinds for {@link option} (RFC 9293, 3.2; RFC 7323; RFC 2018). */
export const Option = {
  end: 0,
  noOperation: 1,
  maximumSegmentSize: 2,
  windowScale: 3,
  selectiveAcknowledgmentPermitted: 4,
  selectiveAcknowledgment: 5,
  timestamps: 8,
} as const

/** Whether a header with all of its options lies before `end`. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  if (!within(bytes, at, end, minimumHeaderLength)) return false
  const header = headerLength(bytes, at)
  return header >= minimumHeaderLength && at + header <= end
}

/** The sequence number, unsigned. */
export function sequence(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 4)
}

/** Sets {@link sequence}. */
export function setSequence(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 4, value)
}

/** The acknowledgment number, unsigned. */
export function acknowledgment(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 8)
}

/** Sets {@link acknowledgment}. */
export function setAcknowledgment(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 8, value)
}

/** Bytes of the header with its options, 20 to 60. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return (bytes[at + 12] >>> 4) * 4
}

/** Sets {@link headerLength}: bytes, a multiple of 4. */
export function setHeaderLength(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 12] = ((value >>> 2) << 4) | (bytes[at + 12] & 15)
}

/** The flags, see {@link Flag}. */
export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at + 13]
}

/** Sets {@link flags}. */
export function setFlags(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 13] = value
}

/** The window, not scaled. */
export function window(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 14)
}

/** Sets {@link window}. */
export function setWindow(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 14, value)
}

/** The checksum as stored. */
export function checksum(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 16)
}

/** Sets {@link checksum}. */
export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 16, value)
}

/** The urgent pointer. */
export function urgentPointer(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 18)
}

/** Sets {@link urgentPointer}. */
export function setUrgentPointer(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 18, value)
}

/** Where the data begins, behind the options. */
export function payload(bytes: Uint8Array, at: number): number {
  return at + headerLength(bytes, at)
}

/**
 * Where an option of this kind begins (kind, length, value), or −1. An option whose length does not fit ends the search. The
 * header must be valid.
 */
export function option(bytes: Uint8Array, at: number, kind: number): number {
  const end = payload(bytes, at)
  let next = at + minimumHeaderLength
  while (next < end && bytes[next] !== Option.end) {
    if (bytes[next] === Option.noOperation) {
      if (kind === Option.noOperation) return next
      next++
      continue
    }
    if (next + 2 > end) return -1
    const length = bytes[next + 1]
    if (length < 2 || next + length > end) return -1
    if (bytes[next] === kind) return next
    next += length
  }
  return -1
}

/**
 * Writes a header without options and checksum; returns the offset behind it. Write options there, then call
 * {@link setHeaderLength}; call {@link writeChecksum} when the data is in place.
 */
export function write(
  bytes: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgment: number,
  flags: number,
  window = 0xffff,
  urgentPointer = 0,
): number {
  setU16(bytes, at, sourcePort)
  setU16(bytes, at + 2, destinationPort)
  setU32(bytes, at + 4, sequence)
  setU32(bytes, at + 8, acknowledgment)
  bytes[at + 12] = (minimumHeaderLength >>> 2) << 4
  bytes[at + 13] = flags
  setU16(bytes, at + 14, window)
  setU16(bytes, at + 16, 0)
  setU16(bytes, at + 18, urgentPointer)
  return at + minimumHeaderLength
}

/**
 * Computes the checksum up to the end of the IP packet, pseudo-header included, and writes it.
 *
 * @param ip where the IP header begins, of either version
 */
export function writeChecksum(bytes: Uint8Array, at: number, ip: number): void {
  setU16(bytes, at + 16, 0)
  setU16(bytes, at + 16, finish(upperLayer(bytes, at, ip, packetEnd(bytes, ip), IpProtocol.tcp)))
}

/**
 * Whether the checksum is right.
 *
 * @param ip where the IP header begins, of either version
 */
export function verifyChecksum(bytes: Uint8Array, at: number, ip: number): boolean {
  return upperLayer(bytes, at, ip, packetEnd(bytes, ip), IpProtocol.tcp) === 0xffff
}

/**
 * Updates the checksum after a change of 16 or 32 bits in the header, the data or the addresses of the IP header (RFC 1624).
 */
export function updateChecksum(bytes: Uint8Array, at: number, before: number, after: number): void {
  setU16(bytes, at + 16, update(u16(bytes, at + 16), before, after))
}

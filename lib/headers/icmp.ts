/** ICMP: RFC 792 for IPv4, RFC 4443 and RFC 4861 (neighbour discovery) for IPv6. */
import { IpProtocol } from './assigned-numbers.js'
import { setU16, setU32, u16, u32, within } from './bytes.js'
import { finish, packetEnd, sum, update, upperLayer } from './checksum.js'

/** Bytes of the header: type, code, checksum, and four bytes that depend on the type. */
export const headerLength = 8

/** Values of {@link type} over IPv4. */
export const Type = {
  echoReply: 0,
  destinationUnreachable: 3,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
  parameterProblem: 12,
  timestamp: 13,
  timestampReply: 14,
} as const

/** Values of {@link type} over IPv6. */
export const Type6 = {
  destinationUnreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighborSolicitation: 135,
  neighborAdvertisement: 136,
  redirect: 137,
} as const

/** Whether a whole header lies before `end`. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return within(bytes, at, end, headerLength)
}

/** The type, see {@link Type} and {@link Type6}. */
export function type(bytes: Uint8Array, at: number): number {
  return bytes[at]
}

/** Sets {@link type}. */
export function setType(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
}

/** The code: its meaning depends on the type. */
export function code(bytes: Uint8Array, at: number): number {
  return bytes[at + 1]
}

/** Sets {@link code}. */
export function setCode(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 1] = value
}

/** The checksum as stored. */
export function checksum(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Sets {@link checksum}. */
export function setChecksum(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value)
}

/** The identifier of an echo. */
export function identifier(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}

/** Sets {@link identifier}. */
export function setIdentifier(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 4, value)
}

/** The sequence number of an echo. */
export function sequence(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6)
}

/** Sets {@link sequence}. */
export function setSequence(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 6, value)
}

/** The last four bytes of the header as a number: an MTU, a pointer or a gateway, depending on the type. */
export function rest(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 4)
}

/** Sets {@link rest}. */
export function setRest(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 4, value)
}

/**
 * Writes a header without a checksum; returns the offset behind it. Call {@link writeChecksum} when the data is in place.
 *
 * @param rest the last four bytes
 */
export function write(bytes: Uint8Array, at: number, type: number, code: number, rest = 0): number {
  bytes[at] = type
  bytes[at + 1] = code
  setU16(bytes, at + 2, 0)
  setU32(bytes, at + 4, rest)
  return at + headerLength
}

/** Like {@link write}, for an echo request or reply. */
export function writeEcho(
  bytes: Uint8Array,
  at: number,
  type: number,
  identifier: number,
  sequence: number,
): number {
  return write(bytes, at, type, 0, ((identifier & 0xffff) << 16) | (sequence & 0xffff))
}

/** The sum up to the end of the IP packet: over IPv6 with a pseudo-header, over IPv4 without (RFC 4443, 2.3). */
function total(bytes: Uint8Array, at: number, ip: number): number {
  const end = packetEnd(bytes, ip)
  return bytes[ip] >>> 4 === 4 ? sum(bytes, at, end) : upperLayer(bytes, at, ip, end, IpProtocol.icmp6)
}

/**
 * Computes the checksum up to the end of the IP packet and writes it.
 *
 * @param ip where the IP header begins; its version selects the checksum
 */
export function writeChecksum(bytes: Uint8Array, at: number, ip: number): void {
  setU16(bytes, at + 2, 0)
  setU16(bytes, at + 2, finish(total(bytes, at, ip)))
}

/**
 * Whether the checksum is right.
 *
 * @param ip where the IP header begins; its version selects the checksum
 */
export function verifyChecksum(bytes: Uint8Array, at: number, ip: number): boolean {
  return total(bytes, at, ip) === 0xffff
}

/** Updates the checksum after a change of 16 or 32 bits (RFC 1624); over IPv6 also for bits of the addresses. */
export function updateChecksum(bytes: Uint8Array, at: number, before: number, after: number): void {
  setU16(bytes, at + 2, update(u16(bytes, at + 2), before, after))
}

/** Turns an echo request of either version into its reply and updates the checksum. False for any other message. */
export function toEchoReply(bytes: Uint8Array, at: number): boolean {
  const before = u16(bytes, at)
  if (before === Type.echoRequest << 8) bytes[at] = Type.echoReply
  else if (before === Type6.echoRequest << 8) bytes[at] = Type6.echoReply
  else return false
  updateChecksum(bytes, at, before, u16(bytes, at))
  return true
}

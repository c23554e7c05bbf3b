/** The Ethernet header: IEEE 802.3 clause 3, with the types of RFC 894 and RFC 2464. */
import { copy, equal, setU16, setU32, u16, u32, within } from './bytes.js'

export { formatMac as format, parseMac as parse } from './mac.js'

/** Bytes of the header. */
export const headerLength = 14
/** Bytes of an address. */
export const addressLength = 6
/** Bytes of the shortest frame, without its check sequence; the sender pads shorter ones. */
export const minimumFrameLength = 60
/** Offset of the destination address in the header. */
export const destinationOffset = 0
/** Offset of the source address in the header. */
export const sourceOffset = 6

/** Whether a whole header lies before `end`. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return within(bytes, at, end, headerLength)
}

/** The EtherType; up to 1500 it is a length instead (see {@link isLength}). */
export function etherType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 12)
}

/** Sets {@link etherType}. */
export function setEtherType(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 12, value)
}

/** Whether a value of {@link etherType} is the length of an 802.3 frame (IEEE 802.3, 3.2.6: types begin at 1536). */
export function isLength(etherType: number): boolean {
  return etherType < 0x600
}

/** Writes the destination address: six bytes of `address` from `from`. */
export function setDestination(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at, address, from, 6)
}

/** Writes the source address: six bytes of `address` from `from`. */
export function setSource(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at + 6, address, from, 6)
}

/** Swaps destination and source, as a reflector does. */
export function swapAddresses(bytes: Uint8Array, at: number): void {
  for (let i = at; i < at + 6; i++) {
    const byte = bytes[i]
    bytes[i] = bytes[i + 6]
    bytes[i + 6] = byte
  }
}

/** The first 16 bits of the address at `at` (an address anywhere, not a header). */
export function addressHigh(bytes: Uint8Array, at: number): number {
  return u16(bytes, at)
}

/** The last 32 bits of the address at `at`, unsigned. */
export function addressLow(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 2)
}

/** Writes an address at `at` from its first 16 and its last 32 bits. */
export function setAddress(bytes: Uint8Array, at: number, high: number, low: number): void {
  setU16(bytes, at, high)
  setU32(bytes, at + 2, low)
}

/** Copies an address; source and target must not overlap. */
export function copyAddress(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number): void {
  copy(to, toAt, from, fromAt, 6)
}

/** Whether two addresses are equal. */
export function equalAddress(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  return equal(a, aAt, b, bAt, 6)
}

/** Whether the address at `at` is a group address; broadcast is one. */
export function isMulticast(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 1) === 1
}

/** Whether the address at `at` is ff:ff:ff:ff:ff:ff. */
export function isBroadcast(bytes: Uint8Array, at: number): boolean {
  return u16(bytes, at) === 0xffff && u32(bytes, at + 2) === 0xffffffff
}

/** Writes a header; returns the offset behind it. The addresses are six bytes each. */
export function write(
  bytes: Uint8Array,
  at: number,
  destination: Uint8Array,
  source: Uint8Array,
  etherType: number,
): number {
  copy(bytes, at, destination, 0, 6)
  copy(bytes, at + 6, source, 0, 6)
  setU16(bytes, at + 12, etherType)
  return at + headerLength
}

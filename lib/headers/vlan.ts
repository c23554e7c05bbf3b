/**
 * VLAN tags: IEEE 802.1Q clause 9, single, and stacked as QinQ (802.1ad). A tag lies between the addresses and the
 * EtherType, so adding or removing one moves the twelve bytes of the addresses and nothing else.
 *
 * Fields are read at the tag's control information, directly behind the EtherType that announces the tag: 14 bytes into a
 * frame for the first tag, 18 for the second.
 */
import { EtherType } from './assigned-numbers.js'
import { setU16, u16, within } from './bytes.js'

/** Bytes of a tag. */
export const headerLength = 4
/** The VLAN id that is reserved and must not be sent (IEEE 802.1Q, table 9-2). */
export const reservedId = 0xfff

/** Whether an EtherType announces a tag: 0x8100, 0x88a8 or the older 0x9100. */
export function isTag(etherType: number): boolean {
  return (
    etherType === EtherType.vlan || etherType === EtherType.serviceVlan || etherType === EtherType.legacyQinQ
  )
}

/** Whether a tag's control information and the EtherType behind it lie before `end`. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return within(bytes, at, end, headerLength)
}

/** The tag control information: priority, drop eligibility and id in 16 bits. */
export function control(bytes: Uint8Array, at: number): number {
  return u16(bytes, at)
}

/** Sets {@link control}. */
export function setControl(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, value)
}

/** Builds control information from an id of 0 to 4095, a priority of 0 to 7, and drop eligibility 0 or 1. */
export function controlOf(id: number, priority = 0, dropEligible = 0): number {
  return ((priority & 7) << 13) | ((dropEligible & 1) << 12) | (id & 0xfff)
}

/** The VLAN id, 0 to 4095; 0: a priority tag, without a VLAN. */
export function id(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) & 0xfff
}

/** Sets {@link id}. */
export function setId(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, (bytes[at] & 0xf0) * 256 + (value & 0xfff))
}

/** The priority code point, 0 to 7. */
export function priority(bytes: Uint8Array, at: number): number {
  return bytes[at] >>> 5
}

/** Sets {@link priority}. */
export function setPriority(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (bytes[at] & 0x1f) | ((value & 7) << 5)
}

/** The drop eligible indicator, 0 or 1. */
export function dropEligible(bytes: Uint8Array, at: number): number {
  return (bytes[at] >>> 4) & 1
}

/** Sets {@link dropEligible}. */
export function setDropEligible(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (bytes[at] & 0xef) | ((value & 1) << 4)
}

/** The EtherType behind the tag. */
export function etherType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Sets {@link etherType}. */
export function setEtherType(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 2, value)
}

/** Writes control information and the EtherType behind it; returns the offset behind both. */
export function write(bytes: Uint8Array, at: number, control: number, etherType: number): number {
  setU16(bytes, at, control)
  setU16(bytes, at + 2, etherType)
  return at + headerLength
}

/**
 * Where the payload of a frame begins, behind its Ethernet header and all of its tags; −1 if the frame ends before that.
 *
 * @param at where the frame begins
 */
export function payload(bytes: Uint8Array, at: number, end: number): number {
  if (!within(bytes, at, end, 14)) return -1
  let next = at + 14
  while (isTag(u16(bytes, next - 2))) {
    if (next + headerLength > end) return -1
    next += headerLength
  }
  return next
}

/** The EtherType of the payload that {@link payload} found: the two bytes before it, with or without tags. */
export function payloadType(bytes: Uint8Array, payload: number): number {
  return u16(bytes, payload - 2)
}

/**
 * Adds a tag to the frame at `at`, outside its other tags. The addresses move four bytes down, into the headroom; everything
 * else stays in place.
 *
 * @param start the first byte that the frame may use, such as where its slot begins: `at - (at % frameSize)`
 * @param control see {@link controlOf}
 * @param tagType the EtherType of the tag: 0x8100, or 0x88a8 for the outer one of QinQ
 * @returns where the frame begins now, or −1, nothing changed, when the headroom is less than four bytes
 */
export function push(
  bytes: Uint8Array,
  at: number,
  start: number,
  control: number,
  tagType: number = EtherType.vlan,
): number {
  const to = at - headerLength
  if (!(to >= start && to >= 0)) return -1
  for (let i = 0; i < 12; i++) bytes[to + i] = bytes[at + i]
  setU16(bytes, to + 12, tagType)
  setU16(bytes, to + 14, control)
  return to
}

/**
 * Removes the outermost tag of the frame at `at`: the addresses move four bytes up. Read the tag, at `at + 14`, before.
 *
 * @returns where the frame begins now, or −1, nothing changed, when it has no whole tag
 */
export function pop(bytes: Uint8Array, at: number, end: number): number {
  if (!within(bytes, at, end, 14 + headerLength) || !isTag(u16(bytes, at + 12))) return -1
  for (let i = 11; i >= 0; i--) bytes[at + headerLength + i] = bytes[at + i]
  return at + headerLength
}

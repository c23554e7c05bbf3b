/** ARP for IPv4 over Ethernet: RFC 826, RFC 5227. */
import { EtherType } from './assigned-numbers.js'
import { copy, setU16, setU32, u16, u32, within } from './bytes.js'

/** Bytes of an ARP packet. */
export const headerLength = 28
/** Offset of the sender's hardware address. */
export const senderMacOffset = 8
/** Offset of the target's hardware address. */
export const targetMacOffset = 18
/** Values of {@link operation}. */
export const Operation = { request: 1, reply: 2 } as const
const ethernetHardware = 1

/** Whether a whole packet lies before `end`, with Ethernet and IPv4 addresses. */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    within(bytes, at, end, headerLength) &&
    u16(bytes, at) === ethernetHardware &&
    u16(bytes, at + 2) === EtherType.ipv4 &&
    bytes[at + 4] === 6 &&
    bytes[at + 5] === 4
  )
}

/** The hardware type; 1 is Ethernet. */
export function hardwareType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at)
}

/** The protocol type, an EtherType. */
export function protocolType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2)
}

/** Bytes of a hardware address. */
export function hardwareLength(bytes: Uint8Array, at: number): number {
  return bytes[at + 4]
}

/** Bytes of a protocol address. */
export function protocolLength(bytes: Uint8Array, at: number): number {
  return bytes[at + 5]
}

/** The operation, see {@link Operation}. */
export function operation(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6)
}

/** Sets {@link operation}. */
export function setOperation(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at + 6, value)
}

/** The sender's IPv4 address. */
export function senderIp(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 14)
}

/** Sets {@link senderIp}. */
export function setSenderIp(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 14, value)
}

/** The target's IPv4 address. */
export function targetIp(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 24)
}

/** Sets {@link targetIp}. */
export function setTargetIp(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 24, value)
}

/** Writes the sender's hardware address: six bytes of `address` from `from`. */
export function setSenderMac(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at + senderMacOffset, address, from, 6)
}

/** Writes the target's hardware address: six bytes of `address` from `from`. */
export function setTargetMac(bytes: Uint8Array, at: number, address: Uint8Array, from = 0): void {
  copy(bytes, at + targetMacOffset, address, from, 6)
}

/** Writes a packet; returns the offset behind it. Hardware addresses are six bytes each. */
export function write(
  bytes: Uint8Array,
  at: number,
  operation: number,
  senderMac: Uint8Array,
  senderIp: number,
  targetMac: Uint8Array,
  targetIp: number,
): number {
  setU16(bytes, at, ethernetHardware)
  setU16(bytes, at + 2, EtherType.ipv4)
  bytes[at + 4] = 6
  bytes[at + 5] = 4
  setU16(bytes, at + 6, operation)
  copy(bytes, at + senderMacOffset, senderMac, 0, 6)
  setU32(bytes, at + 14, senderIp)
  copy(bytes, at + targetMacOffset, targetMac, 0, 6)
  setU32(bytes, at + 24, targetIp)
  return at + headerLength
}

/**
 * Turns a request into its reply (RFC 826, "Packet Reception"): swaps sender and target; `mac` is the sender of the reply.
 */
export function toReply(bytes: Uint8Array, at: number, mac: Uint8Array): void {
  const asked = targetIp(bytes, at)
  setOperation(bytes, at, Operation.reply)
  copy(bytes, at + targetMacOffset, bytes, at + senderMacOffset, 10)
  copy(bytes, at + senderMacOffset, mac, 0, 6)
  setSenderIp(bytes, at, asked)
}

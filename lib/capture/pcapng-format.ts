/** Numbers of the pcapng format (draft-ietf-opsawg-pcapng). */

export const Block = {
  section: 0x0a0d0d0a,
  interface: 1,
  /** obsolete: the enhanced packet block replaces it */
  packet: 2,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const

export const byteOrderMagic = 0x1a2b3c4d

export const Option = {
  end: 0,
  /** shb_userappl: the program that wrote the capture */
  application: 4,
  /** if_name, if_description */
  interfaceName: 2,
  interfaceDescription: 3,
  /** if_tsresol: the timestamps' unit, a power of ten, or of two when the highest bit is set */
  resolution: 9,
  /** if_fcslen: bytes of check sequence at each frame's end */
  checkSequence: 13,
  /** if_tsoffset: seconds to add to timestamps */
  offset: 14,
  /** epb_flags: direction in bits 0 and 1, reception type in bits 2 to 4, length of the check sequence in 5 to 8 */
  flags: 2,
  /** isb_starttime, isb_endtime, isb_ifrecv, isb_ifdrop */
  startTime: 2,
  endTime: 3,
  received: 4,
  dropped: 5,
} as const

/** epb_flags of each `PacketType`: inbound (1) with its reception type, or outbound (2). */
export const packetFlags = [
  1 | (1 << 2), // host: unicast
  1 | (3 << 2), // broadcast
  1 | (2 << 2), // multicast
  1 | (4 << 2), // another host: promiscuous
  2, // outgoing
] as const

const outbound = 2
/** `PacketType` by epb_flags' reception type: unspecified, unicast, multicast, broadcast, promiscuous. */
const typeOfReception = [-1, 0, 2, 1, 3]

/** The `PacketType` for epb_flags; −1: none. The outbound direction takes precedence over a reception type. */
export function packetTypeOf(flags: number): number {
  if ((flags & 3) === outbound) return 4
  return typeOfReception[(flags >>> 2) & 7] ?? -1
}

/**
 * Bytes of check sequence at the frame's end, from if_fcslen or the same field of epb_flags. The format counts octets, but
 * pcap's header counts 16-bit words, and some programs write that number here: Ethernet has no check sequence of two bytes.
 */
export function checkSequenceLength(value: number): number {
  return value === 2 ? 4 : value
}

/** The check sequence's length from epb_flags; 0: if_fcslen counts. */
export function trailingOf(flags: number): number {
  return checkSequenceLength((flags >>> 5) & 15)
}

/** A length padded to the next multiple of four, as every field of a block is. */
export function padded(length: number): number {
  return (length + 3) & ~3
}

/** Numbers of the pcapng format (draft-ietf-opsawg-pcapng). */

export const Block = {
  section: 0x0a0d0d0a,
  interface: 1,
  /** of old captures; the enhanced one came after it */
  packet: 2,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const

export const byteOrderMagic = 0x1a2b3c4d

export const Option = {
  end: 0,
  /** shb_userappl: which program wrote it */
  application: 4,
  /** if_name, if_description */
  interfaceName: 2,
  interfaceDescription: 3,
  /** if_tsresol: of timestamps, a power of ten, or of two with the highest bit set */
  resolution: 9,
  /** if_fcslen: bytes of the check sequence at each frame's end */
  checkSequence: 13,
  /** if_tsoffset: seconds to add to timestamps */
  offset: 14,
  /** epb_flags: direction in bits 0 and 1, kind of reception in bits 2 to 4, length of the check sequence in 5 to 8 */
  flags: 2,
  /** isb_starttime, isb_endtime, isb_ifrecv, isb_ifdrop */
  startTime: 2,
  endTime: 3,
  received: 4,
  dropped: 5,
} as const

/** epb_flags of each `PacketType`: inbound (1) and to whom, or outbound (2). */
export const packetFlags = [
  1 | (1 << 2), // host: unicast
  1 | (3 << 2), // broadcast
  1 | (2 << 2), // multicast
  1 | (4 << 2), // another host: promiscuous
  2, // outgoing
] as const

const outbound = 2
/** `PacketType` by the kind of reception, which says to whom the frame was sent: unicast, multicast, broadcast, promiscuous. */
const typeOfReception = [-1, 0, 2, 1, 3]

/** The `PacketType` that epb_flags tells; −1: none. What was sent has a kind of address too, and is what was sent. */
export function packetTypeOf(flags: number): number {
  if ((flags & 3) === outbound) return 4
  return typeOfReception[(flags >>> 2) & 7] ?? -1
}

/**
 * Bytes of check sequence at the frame's end, by if_fcslen or by the same field of epb_flags. The format counts octets, but
 * pcap's header counts words of 16 bits, and some write that here: Ethernet has no check sequence of two bytes.
 */
export function checkSequenceLength(value: number): number {
  return value === 2 ? 4 : value
}

/** The length of the check sequence that epb_flags tells; 0: it does not, and if_fcslen counts. */
export function trailingOf(flags: number): number {
  return checkSequenceLength((flags >>> 5) & 15)
}

/** Padding to the next multiple of four, which all fields of a block have. */
export function padded(length: number): number {
  return (length + 3) & ~3
}

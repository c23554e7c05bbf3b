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
  /** epb_flags: direction in bits 0 and 1, kind of address in bits 2 to 4 */
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

/** Padding to the next multiple of four, which all fields of a block have. */
export function padded(length: number): number {
  return (length + 3) & ~3
}

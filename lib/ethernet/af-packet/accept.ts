/**
 * The frames that a queue accepts by their destination, as a classic BPF program (linux/filter.h).
 *
 * A packet socket receives every frame that the device passes on, and devices differ: a real NIC filters by address, a
 * veth filters nothing. This program makes them alike: it accepts the interface's own address, broadcast, and the
 * groups that the queue joined, and every frame when the queue is promiscuous.
 */

const Code = { loadWord: 0x20, loadHalf: 0x28, jumpEqual: 0x15, return: 0x06 } as const
/** SKF_AD_OFF + SKF_AD_PKTTYPE: loads sll_pkttype */
const packetType = 0xfffff004
const PacketType = { multicast: 2, otherHost: 3 } as const
const accept = 0xffffffff
const drop = 0

/** PACKET_MR_*, linux/if_packet.h */
export const Membership = { multicast: 0, promiscuous: 1, allMulticast: 2 } as const

/** The destinations that a queue accepts. */
export interface Accepted {
  promiscuous: boolean
  /** every group address */
  allMulticast: boolean
  /** group addresses, six bytes each */
  groups: readonly Uint8Array[]
}

/** The most groups that a program holds: well below BPF_MAXINSNS and the kernel's net.core.optmem_max. */
export const maxGroups = 256

/** The program, four numbers (code, jt, jf, k) an instruction. */
export function acceptProgram({ promiscuous, allMulticast, groups }: Accepted): Uint32Array {
  if (promiscuous) return Uint32Array.of(Code.return, 0, 0, accept)
  const program = [
    [Code.loadWord, 0, 0, packetType],
    [Code.jumpEqual, 0, 1, PacketType.otherHost],
    [Code.return, 0, 0, drop],
    [Code.jumpEqual, 1, 0, PacketType.multicast],
    [Code.return, 0, 0, accept],
  ]
  for (const group of groups) {
    const high = ((group[0] << 24) | (group[1] << 16) | (group[2] << 8) | group[3]) >>> 0
    program.push(
      [Code.loadWord, 0, 0, 0],
      [Code.jumpEqual, 0, 3, high],
      [Code.loadHalf, 0, 0, 4],
      [Code.jumpEqual, 0, 1, (group[4] << 8) | group[5]],
      [Code.return, 0, 0, accept],
    )
  }
  program.push([Code.return, 0, 0, allMulticast ? accept : drop])
  return Uint32Array.from(program.flat())
}

/** Turns a frame around: it goes back to its sender. */
import { EtherType, IpProtocol } from '../../headers/assigned-numbers.js'
import { setU16, setU32, u16, u32 } from '../../headers/bytes.js'
import * as ethernet from '../../headers/ethernet.js'
import * as ipv4 from '../../headers/ipv4.js'
import * as ipv6 from '../../headers/ipv6.js'
import * as udp from '../../headers/udp.js'
import * as vlan from '../../headers/vlan.js'

const ipv4Source = 12
const ipv6Source = 8

/**
 * Swaps source and destination in place: the MAC addresses, those of IPv4 and IPv6 behind any VLAN tags, and the ports of
 * UDP. No checksum changes: the order of the words does not matter (RFC 1071, 2).
 *
 * @param at where the frame begins
 * @returns false, nothing changed, for a frame to a group address: no station may send from it
 */
export function swap(bytes: Uint8Array, at: number, end: number): boolean {
  const network = vlan.payload(bytes, at, end)
  if (network < 0 || ethernet.isMulticast(bytes, at)) return false
  ethernet.swapAddresses(bytes, at)
  const type = vlan.payloadType(bytes, network)
  if (type === EtherType.ipv4 && ipv4.isValid(bytes, network, end)) {
    exchange(bytes, network + ipv4Source, network + ipv4Source + 4, 4)
    if (ipv4.protocol(bytes, network) === IpProtocol.udp && ipv4.fragmentOffset(bytes, network) === 0)
      swapPorts(bytes, ipv4.payload(bytes, network), ipv4.packetEnd(bytes, network))
  } else if (type === EtherType.ipv6 && ipv6.isValid(bytes, network, end)) {
    exchange(bytes, network + ipv6Source, network + ipv6Source + 16, 16)
    if (ipv6.nextHeader(bytes, network) === IpProtocol.udp)
      swapPorts(bytes, network + ipv6.headerLength, ipv6.packetEnd(bytes, network))
  }
  return true
}

function swapPorts(bytes: Uint8Array, at: number, end: number): void {
  if (at + udp.headerLength > end) return
  const port = u16(bytes, at)
  setU16(bytes, at, u16(bytes, at + 2))
  setU16(bytes, at + 2, port)
}

/** Swaps two ranges of this many bytes, a multiple of four. */
function exchange(bytes: Uint8Array, one: number, other: number, length: number): void {
  for (let i = 0; i < length; i += 4) {
    const word = u32(bytes, one + i) | 0
    setU32(bytes, one + i, u32(bytes, other + i) | 0)
    setU32(bytes, other + i, word)
  }
}

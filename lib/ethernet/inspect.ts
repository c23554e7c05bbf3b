/** A frame's state as its own headers show it, for backends without metadata. */
import { EtherType, IpProtocol } from '../headers/assigned-numbers.js'
import { u16 } from '../headers/bytes.js'
import * as checksum from '../headers/checksum.js'
import * as ipv4 from '../headers/ipv4.js'
import * as ipv6 from '../headers/ipv6.js'
import * as vlan from '../headers/vlan.js'

/** Bits of `PacketQueue.inspect(slot)`. */
export const FrameDoubt = {
  /** Its IP header announces more than the interface's MTU: several segments in one frame. */
  superFrame: 1,
  /** Its IP header announces more bytes than the frame has: it was truncated. */
  cut: 2,
  /** Its TCP or UDP checksum is the pseudo-header's sum: the sender left the rest to a device. */
  checksumPartial: 4,
  /** Its TCP or UDP checksum, or IPv4 header checksum, is wrong otherwise. */
  checksumWrong: 8,
} as const

/** Of TCP and UDP: the checksum's place in the header, and the header's least length. */
const places = new Map<number, { at: number; header: number }>([
  [IpProtocol.tcp, { at: 16, header: 20 }],
  [IpProtocol.udp, { at: 6, header: 8 }],
])

/** {@link FrameDoubt} bits of the frame [at, end); 0 for one that is not IP, or has no fault. */
export function inspectFrame(bytes: Uint8Array, at: number, end: number, mtu: number): number {
  const ip = vlan.payload(bytes, at, end)
  if (ip < 0) return 0
  const type = vlan.payloadType(bytes, ip)
  const four = type === EtherType.ipv4
  if (!four && type !== EtherType.ipv6) return 0
  if (ip + (four ? ipv4.minimumHeaderLength : ipv6.headerLength) > end || bytes[ip] >>> 4 !== (four ? 4 : 6))
    return 0
  // The length 0 marks a super-frame of more than 64 KiB (BIG TCP).
  const told = four ? u16(bytes, ip + 2) : u16(bytes, ip + 4)
  const packet = told === 0 ? end : checksum.packetEnd(bytes, ip)
  let doubts = packet - ip > mtu ? FrameDoubt.superFrame : 0
  if (packet > end) return doubts | FrameDoubt.cut
  const upper = four ? ipv4.payload(bytes, ip) : ip + ipv6.headerLength
  if (four && !checksum.verify(bytes, ip, upper)) doubts |= FrameDoubt.checksumWrong
  const protocol = four ? ipv4.protocol(bytes, ip) : ipv6.nextHeader(bytes, ip)
  const place = places.get(protocol)
  // A fragment has only a part of the checksummed bytes.
  const whole = !four || (u16(bytes, ip + 6) & 0x3fff) === 0
  if (place === undefined || !whole || upper + place.header > packet) return doubts
  const value = u16(bytes, upper + place.at)
  if (protocol === IpProtocol.udp && value === 0 && four) return doubts
  if (checksum.upperLayer(bytes, upper, ip, packet, protocol) === 0xffff) return doubts
  const pseudo = checksum.pseudoHeader(bytes, ip, protocol, packet - upper)
  return doubts | (value === pseudo ? FrameDoubt.checksumPartial : FrameDoubt.checksumWrong)
}

/** VXLAN: RFC 7348, Ethernet frames in UDP over IPv4 or IPv6. */
import { boolean, integer, type Names, object } from '../argument.js'
import { EtherType, IpProtocol, UdpPort } from './assigned-numbers.js'
import { setU32, u16, u32, within } from './bytes.js'
import * as ipv4 from './ipv4.js'
import * as ipv6 from './ipv6.js'
import {
  findUpperLayer,
  type OuterOptions,
  outerEnd,
  outerHeader,
  outerIp,
  outerOptionNames,
  ownPart,
  wrap,
} from './tunnel.js'
import * as udp from './udp.js'

/** Bytes of the header. */
export const headerLength = 8
/** Bytes that {@link push} puts before a frame over IPv4: Ethernet, IPv4, UDP, VXLAN. */
export const overheadIpv4 = 50
/** Bytes that {@link push} puts before a frame over IPv6. */
export const overheadIpv6 = 70
/** Bit of {@link flags}: the network identifier is valid. RFC 7348 demands it. */
export const Flag = { networkIdentifier: 0x08 } as const

/** Whether a header with a network identifier lies before `end`. All other bits are ignored (RFC 7348, 5). */
export function isValid(bytes: Uint8Array, at: number, end: number): boolean {
  return within(bytes, at, end, headerLength) && (bytes[at] & Flag.networkIdentifier) !== 0
}

/** The flags, see {@link Flag}. */
export function flags(bytes: Uint8Array, at: number): number {
  return bytes[at]
}

/** Sets {@link flags}. */
export function setFlags(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
}

/** The network identifier (VNI), 24 bits. */
export function networkIdentifier(bytes: Uint8Array, at: number): number {
  return u32(bytes, at + 4) >>> 8
}

/** Sets {@link networkIdentifier}. */
export function setNetworkIdentifier(bytes: Uint8Array, at: number, value: number): void {
  setU32(bytes, at + 4, value << 8)
}

/** Where the inner frame begins. */
export function payload(_bytes: Uint8Array, at: number): number {
  return at + headerLength
}

/** Where the inner frame ends, according to the UDP header before this one. */
export function payloadEnd(bytes: Uint8Array, at: number): number {
  return udp.payloadEnd(bytes, at - udp.headerLength)
}

/** Writes a header; returns the offset behind it. */
export function write(bytes: Uint8Array, at: number, networkIdentifier: number): number {
  setU32(bytes, at, Flag.networkIdentifier << 24)
  setU32(bytes, at + 4, networkIdentifier << 8)
  return at + headerLength
}

/** Options of {@link outer}. */
export interface VxlanOuterOptions extends OuterOptions {
  /** Network identifier, 24 bits. */
  networkIdentifier: number
  /** UDP destination port. Default 4789. */
  port?: number
  /** UDP source port if {@link push} gets none. Default 49152. */
  sourcePort?: number
  /**
   * Whether to compute the outer UDP checksum, over every byte of each frame. Default: false over IPv4 (RFC 7348, 5), true
   * over IPv6, where the kernel's VXLAN drops datagrams without one unless configured otherwise (RFC 6935).
   */
  udpChecksum?: boolean
}
const vxlanOuterOptionNames = {
  ...outerOptionNames,
  networkIdentifier: true,
  port: true,
  sourcePort: true,
  udpChecksum: true,
} as const satisfies Names<VxlanOuterOptions>

/**
 * The outer header for {@link push}, prepared once: Ethernet, IP, UDP and VXLAN.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function outer(options: VxlanOuterOptions): Uint8Array {
  object('options', options, 'an object', vxlanOuterOptionNames)
  const header = outerHeader(options, IpProtocol.udp, udp.headerLength + headerLength)
  const at = ownPart(header)
  const identifier = integer('options.networkIdentifier', options.networkIdentifier, 0, 0xffffff)
  const port = integer('options.port', options.port ?? UdpPort.vxlan, 1, 0xffff)
  const sourcePort = integer('options.sourcePort', options.sourcePort ?? 49152, 0, 0xffff)
  const withChecksum = boolean('options.udpChecksum', options.udpChecksum ?? header[outerIp] >>> 4 === 6)
  write(header, udp.write(header, at, sourcePort, port, 0), identifier)
  // A template: any value but 0 makes {@link push} compute the checksum.
  udp.setChecksum(header, at, withChecksum ? 0xffff : 0)
  return header
}

/**
 * Encapsulates the frame at [at, end) in VXLAN: writes the outer header into its headroom; the frame stays in place.
 *
 * @param start the first byte that the frame may use, such as where its slot begins: `at - (at % frameSize)`
 * @param outer of {@link outer}
 * @param sourcePort UDP source port, such as {@link flowPort}
 * @returns where the frame begins now, or −1, nothing changed, when the headroom is too small or the packet too long
 */
export function push(
  bytes: Uint8Array,
  at: number,
  end: number,
  start: number,
  outer: Uint8Array,
  sourcePort = -1,
): number {
  const to = wrap(bytes, at, end, start, outer)
  if (to < 0) return -1
  const datagram = to + ownPart(outer)
  udp.setLength(bytes, datagram, end - datagram)
  if (sourcePort >= 0) udp.setSourcePort(bytes, datagram, sourcePort)
  if (udp.checksum(bytes, datagram) !== 0) udp.writeChecksum(bytes, datagram, to + outerIp)
  return to
}

/**
 * Where in the frame at [at, end) a VXLAN header begins, behind Ethernet, tags, IP and UDP; −1 when there is none, or when a
 * header before it is not valid.
 *
 * @param port UDP destination port of VXLAN
 */
export function find(bytes: Uint8Array, at: number, end: number, port: number = UdpPort.vxlan): number {
  const datagram = findUpperLayer(bytes, at, end, IpProtocol.udp)
  if (datagram < 0 || !udp.isValid(bytes, datagram, outerEnd(bytes, at, end))) return -1
  const header = datagram + udp.headerLength
  if (udp.destinationPort(bytes, datagram) !== port) return -1
  return isValid(bytes, header, udp.payloadEnd(bytes, datagram)) ? header : -1
}

/**
 * Where the inner frame of the VXLAN frame at [at, end) begins; it ends at {@link payloadEnd} of its header, eight bytes
 * before. Moves nothing and checks no checksum.
 *
 * @returns an offset, or −1 when there is no VXLAN header, or no whole Ethernet header behind it
 */
export function pop(bytes: Uint8Array, at: number, end: number, port: number = UdpPort.vxlan): number {
  const header = find(bytes, at, end, port)
  if (header < 0 || header + headerLength + 14 > payloadEnd(bytes, header)) return -1
  return header + headerLength
}

function mix(hash: number, value: number): number {
  return Math.imul((hash ^ value) >>> 0, 0x9e3779b1) ^ (hash >>> 15)
}

/**
 * A source port from 49152 to 65535, the same for all frames of a flow, so that routers on the path can spread flows (RFC
 * 7348, 5): a hash of the MAC addresses and, where present, the IP addresses, protocol and ports.
 *
 * @param at where the inner frame begins
 */
export function flowPort(bytes: Uint8Array, at: number, end: number): number {
  if (!within(bytes, at, end, 14)) return 0xc000
  let hash = mix(mix(u32(bytes, at), u32(bytes, at + 4)), u32(bytes, at + 8))
  const type = u16(bytes, at + 12)
  const ip = at + 14
  let ports = -1
  let protocol = 0
  if (type === EtherType.ipv4 && ipv4.isValid(bytes, ip, end)) {
    hash = mix(mix(hash, ipv4.source(bytes, ip)), ipv4.destination(bytes, ip))
    protocol = ipv4.protocol(bytes, ip)
    if (!ipv4.isFragment(bytes, ip)) ports = ipv4.payload(bytes, ip)
  } else if (type === EtherType.ipv6 && ipv6.isValid(bytes, ip, end)) {
    for (let i = ip + ipv6.sourceOffset; i < ip + ipv6.headerLength; i += 4) hash = mix(hash, u32(bytes, i))
    if (!ipv6.isFragment(bytes, ip)) {
      protocol = ipv6.protocol(bytes, ip)
      ports = ipv6.payload(bytes, ip)
    }
  }
  hash = mix(hash, protocol)
  const hasPorts = protocol === IpProtocol.tcp || protocol === IpProtocol.udp
  if (hasPorts && ports >= 0 && ports + 4 <= end) hash = mix(hash, u32(bytes, ports))
  return 0xc000 | (((hash >>> 16) ^ hash) & 0x3fff)
}

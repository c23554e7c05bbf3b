/**
 * What tunnels over IP share: an outer header, prepared once, is written into the headroom of each frame, and found again.
 * Frames differ in their lengths alone, so the checksum of an outer IPv4 header (RFC 791) is updated, not computed (RFC
 * 1624).
 */
import { isIP } from 'node:net'
import { integer, type Names, rangeError, string } from '../argument.js'
import { EtherType } from './assigned-numbers.js'
import { setU16, u16 } from './bytes.js'
import { packetEnd, update } from './checksum.js'
import * as ethernet from './ethernet.js'
import * as ipv4 from './ipv4.js'
import * as ipv6 from './ipv6.js'
import { type MacAddress, macArgument } from './mac.js'
import * as vlan from './vlan.js'

/** The outer Ethernet and IP headers of a tunnel. */
export interface OuterOptions {
  /** MAC address of the next hop, or of the other end. */
  destinationMac: MacAddress
  /** MAC address of the sending interface. */
  sourceMac: MacAddress
  /** IP address of this end, IPv4 or IPv6. */
  source: string
  /** IP address of the other end, of the same version. */
  destination: string
  /** Time to live, or hop limit. Default 64. */
  ttl?: number
  /** Code point and congestion bits in one byte. Default 0. */
  trafficClass?: number
  /** IPv6 only, 20 bits. Default 0. */
  flowLabel?: number
}
export const outerOptionNames = {
  destinationMac: true,
  sourceMac: true,
  source: true,
  destination: true,
  ttl: true,
  trafficClass: true,
  flowLabel: true,
} as const satisfies Names<OuterOptions>

/** Offset of the IP header in an outer header. */
export const outerIp = ethernet.headerLength

/** Where the tunnel's own part of an outer header begins, behind Ethernet and IP. */
export function ownPart(outer: Uint8Array): number {
  return outer[outerIp] >>> 4 === 4 ? outerIp + ipv4.minimumHeaderLength : outerIp + ipv6.headerLength
}

/**
 * Builds an outer header with room for `ownLength` bytes behind Ethernet and IP.
 *
 * @throws TypeError ERR_INVALID_ARG_TYPE, RangeError ERR_OUT_OF_RANGE
 */
export function outerHeader(options: OuterOptions, protocol: number, ownLength: number): Uint8Array {
  const destinationMac = macArgument('options.destinationMac', options.destinationMac)
  const sourceMac = macArgument('options.sourceMac', options.sourceMac)
  const source = string('options.source', options.source)
  const destination = string('options.destination', options.destination)
  const ttl = integer('options.ttl', options.ttl ?? 64, 1, 255)
  const trafficClass = integer('options.trafficClass', options.trafficClass ?? 0, 0, 255)
  const flowLabel = integer('options.flowLabel', options.flowLabel ?? 0, 0, 0xfffff)
  const version = isIP(source)
  if (version === 0 || source.includes('%')) {
    throw rangeError('options.source', 'an IPv4 or IPv6 address without a zone', source)
  }
  if (isIP(destination) !== version || destination.includes('%')) {
    throw rangeError('options.destination', `an address of the version of ${source}`, destination)
  }
  const ipLength = version === 4 ? ipv4.minimumHeaderLength : ipv6.headerLength
  const outer = new Uint8Array(outerIp + ipLength + ownLength)
  if (version === 4) {
    ethernet.write(outer, 0, destinationMac, sourceMac, EtherType.ipv4)
    const [from, to] = [ipv4.parse(source), ipv4.parse(destination)]
    ipv4.write(outer, outerIp, 0, protocol, from, to, ttl, 0, ipv4.Flag.dontFragment, trafficClass)
    ipv4.setTotalLength(outer, outerIp, 0)
    ipv4.writeChecksum(outer, outerIp)
  } else {
    ethernet.write(outer, 0, destinationMac, sourceMac, EtherType.ipv6)
    const [from, to] = [ipv6.parse(source), ipv6.parse(destination)]
    ipv6.write(outer, outerIp, 0, protocol, from, to, ttl, trafficClass, flowLabel)
  }
  return outer
}

/**
 * Writes an outer header before the frame or packet at [at, end) and sets the lengths in its IP header; −1, nothing changed,
 * when the bytes from `start` do not suffice, or the packet would exceed IP's longest.
 */
export function wrap(bytes: Uint8Array, at: number, end: number, start: number, outer: Uint8Array): number {
  const to = at - outer.length
  const length = end - to - outerIp
  if (!(to >= start && to >= 0 && end >= at && end <= bytes.length && length <= 0xffff)) return -1
  bytes.set(outer, to)
  const ip = to + outerIp
  if (outer[outerIp] >>> 4 === 4) {
    setU16(bytes, ip + 2, length)
    setU16(bytes, ip + 10, update(u16(outer, outerIp + 10), 0, length))
  } else {
    setU16(bytes, ip + 4, length - ipv6.headerLength)
  }
  return to
}

/**
 * Where in the frame at [at, end) the upper layer of this protocol begins, behind Ethernet, tags and IP; −1 when there is
 * none, the IP header is not valid, or the packet is a fragment.
 */
export function findUpperLayer(bytes: Uint8Array, at: number, end: number, protocol: number): number {
  const ip = vlan.payload(bytes, at, end)
  if (ip < 0) return -1
  const type = vlan.payloadType(bytes, ip)
  if (type === EtherType.ipv4) {
    const fits = ipv4.isValid(bytes, ip, end) && !ipv4.isFragment(bytes, ip)
    return fits && ipv4.protocol(bytes, ip) === protocol ? ipv4.payload(bytes, ip) : -1
  }
  if (type === EtherType.ipv6) {
    const fits = ipv6.isValid(bytes, ip, end) && !ipv6.isFragment(bytes, ip)
    return fits && ipv6.protocol(bytes, ip) === protocol ? ipv6.payload(bytes, ip) : -1
  }
  return -1
}

/** Where the IP packet of the frame at [at, end) ends; call it only for a valid IP header. */
export function outerEnd(bytes: Uint8Array, at: number, end: number): number {
  return packetEnd(bytes, vlan.payload(bytes, at, end))
}

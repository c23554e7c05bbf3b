/**
 * Headers, read and written in place: one namespace a protocol, functions of an array and an offset, numbers in and
 * numbers out. Nothing allocates.
 *
 * - `at` is where a header begins, `end` where the frame ends (`queue.offset(slot) + queue.length(slot)`).
 * - `isValid(bytes, at, end)` comes first: it says whether all of the header is there and its lengths fit. What reads
 *   fields after that checks nothing again: outside of the array there is nothing to read, and such a call gives 0 or
 *   undefined, never an exception.
 * - `write(bytes, at, …)` gives the offset behind the header, where the next one begins.
 * - `push` and `pop` give where the frame begins now, or −1. They never touch a byte of the payload.
 * - 32 bits are read as unsigned numbers; what takes 32 bits takes signed ones (`value | 0`) as well. From 2^31 on V8
 *   puts an unsigned number into 16 bytes of heap when it passes through a call that is not inlined. These functions are
 *   small enough to be inlined, but not into one function with dozens of such calls: split that up.
 * - Addresses of 32 bits are numbers; longer ones are bytes at an offset. `format` and `parse` are for people.
 *
 * The namespaces are constants, and not `export * as`, whose comments no editor shows.
 *
 * Written here because what was found on npm decodes into objects with strings for each frame: `cap` and `ethernet`, by
 * their sources; `pcap`, `ip-packet` and `udp-packet`, by their descriptions.
 */
import * as arpFunctions from './arp.js'
import * as bytesFunctions from './bytes.js'
import * as checksumFunctions from './checksum.js'
import * as ethernetFunctions from './ethernet.js'
import * as greFunctions from './gre.js'
import * as icmpFunctions from './icmp.js'
import * as ipv4Functions from './ipv4.js'
import * as ipv6Functions from './ipv6.js'
import * as tcpFunctions from './tcp.js'
import * as udpFunctions from './udp.js'
import * as vlanFunctions from './vlan.js'
import * as vxlanFunctions from './vxlan.js'

export { EtherType, IpProtocol, UdpPort } from './assigned-numbers.js'
export type { GreOuterOptions } from './gre.js'
export type { OuterOptions } from './tunnel.js'
export type { VxlanOuterOptions } from './vxlan.js'

/** ARP over Ethernet and IPv4 (RFC 826). */
export const arp = arpFunctions
/** Numbers of 16 and 32 bits in network order, at an offset. */
export const bytes = bytesFunctions
/** The Internet checksum (RFC 1071), computed and updated (RFC 1624). */
export const checksum = checksumFunctions
/** Ethernet: addresses and EtherType. */
export const ethernet = ethernetFunctions
/** GRE (RFC 2784, RFC 2890): a header, and whole frames put into it and taken out. */
export const gre = greFunctions
/** ICMP and ICMPv6 (RFC 792, RFC 4443). */
export const icmp = icmpFunctions
/** IPv4 (RFC 791). */
export const ipv4 = ipv4Functions
/** IPv6 (RFC 8200), the fixed header. */
export const ipv6 = ipv6Functions
/** TCP (RFC 9293). */
export const tcp = tcpFunctions
/** UDP (RFC 768). */
export const udp = udpFunctions
/** VLAN tags, one or more (IEEE 802.1Q, 802.1ad). */
export const vlan = vlanFunctions
/** VXLAN (RFC 7348): a header, and whole frames put into it and taken out. */
export const vxlan = vxlanFunctions

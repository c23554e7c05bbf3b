/**
 * Headers, read and written in place: a namespace for each protocol, with functions of an array and an offset that take and
 * return numbers. They allocate nothing.
 *
 * - `at` is where a header begins, `end` where the frame ends (`queue.offset(slot) + queue.length(slot)`).
 * - `isValid(bytes, at, end)` comes first: it checks that the whole header is there and its lengths fit. Functions that read
 *   fields do not check again: beyond the array they return 0 or undefined, and never throw.
 * - `write(bytes, at, …)` returns the offset behind the header, where the next one begins.
 * - `push` and `pop` return where the frame begins now, or −1. They never touch a byte of the payload.
 * - 32-bit values are read as unsigned numbers; functions that take 32 bits accept signed ones (`value | 0`) as well. From
 *   2^31 on V8 allocates 16 bytes of heap for an unsigned number that passes through a call which is not inlined. These
 *   functions are small enough to be inlined, but not dozens of such calls in one function: split that up.
 * - 32-bit addresses are numbers; longer ones are bytes at an offset. `format` and `parse` are for people.
 *
 * The namespaces are constants, not `export * as`, because editors do not show the latter's comments.
 *
 * Written for this package because the npm packages found decode each frame into objects with strings: `cap` and `ethernet`,
 * according to their sources; `pcap`, `ip-packet` and `udp-packet`, according to their descriptions.
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
/** GRE (RFC 2784, RFC 2890): the header, and encapsulation of whole frames. */
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
/** VXLAN (RFC 7348): the header, and encapsulation of whole frames. */
export const vxlan = vxlanFunctions

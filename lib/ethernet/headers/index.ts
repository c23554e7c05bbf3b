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
 * Written here because what was found on npm decodes into objects with strings for each frame: `cap` and `ethernet`, by
 * their sources; `pcap`, `ip-packet` and `udp-packet`, by their descriptions.
 */
export * as arp from './arp.js'
export { EtherType, IpProtocol, UdpPort } from './assigned-numbers.js'
export * as bytes from './bytes.js'
export * as checksum from './checksum.js'
export * as ethernet from './ethernet.js'
export * as gre from './gre.js'
export * as icmp from './icmp.js'
export * as ipv4 from './ipv4.js'
export * as ipv6 from './ipv6.js'
export * as tcp from './tcp.js'
export * as udp from './udp.js'
export * as vlan from './vlan.js'
export * as vxlan from './vxlan.js'

/** IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200) in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'
import { greText } from './gre-text.js'
import { icmpText } from './icmp-text.js'
import { icmp6Text } from './icmp6-text.js'
import { igmpText } from './igmp-text.js'
import { sctpText } from './sctp-text.js'
import { tcpText } from './tcp-text.js'
import { udpText } from './udp-text.js'

const TCP = 6
const UDP = 17
const SCTP = 132
const AH = 51

/** The packet being printed. */
interface Packet {
  version: 4 | 6
  from: string
  to: string
  /** Whether it is a first fragment: lengths in its inner headers then exceed its bytes. */
  fragment: boolean
}

/** @param end where it ended on the wire, padding included */
export function ipv4Text(frame: Dissection, at: number, end: number): void {
  frame.need(at, 1, 'ip', end)
  const version = frame.u8(at) >> 4
  if (version !== 4) {
    const wrong = version === 6 ? ', wrong link-layer encapsulation' : ''
    frame.print(`IP${version}${wrong} (invalid)`)
    return
  }
  frame.need(at, 20, 'ip', end)
  frame.name('IP ')
  const headerLength = (frame.u8(at) & 15) * 4
  if (headerLength < 20) {
    frame.print(`bad-hlen ${headerLength}`)
    return
  }
  const total = frame.u16(at + 2)
  // Frames shorter than 60 bytes are padded: only the total length says where the packet ends.
  if (total > end - at) frame.print(`truncated-ip - ${total - (end - at)} bytes missing! `)
  if (total < headerLength) {
    frame.print(`bad-len ${total}`)
    return
  }
  const packet: Packet = { version: 4, from: frame.ipv4(at + 12), to: frame.ipv4(at + 16), fragment: false }
  const protocol = frame.u8(at + 9)
  const fragment = frame.u16(at + 6)
  if (fragment & 0x1fff) {
    frame.print(`${packet.from} > ${packet.to}: ip-proto-${protocol}`)
    return
  }
  packet.fragment = (fragment & 0x2000) !== 0
  protocolText(frame, protocol, at + headerLength, at + total, packet)
}

/** @param end where it ended on the wire, padding included */
export function ipv6Text(frame: Dissection, at: number, end: number): void {
  frame.need(at, 40, 'ip6', end)
  frame.name('IP6 ')
  const version = frame.u8(at) >> 4
  if (version !== 6) {
    frame.print(`version error: ${version} != 6`)
    return
  }
  const behind = at + 40 + frame.u16(at + 4)
  if (behind > end) frame.print(`truncated-ip6 - ${behind - end} bytes missing! `)
  const packet: Packet = { version: 6, from: frame.ipv6(at + 8), to: frame.ipv6(at + 24), fragment: false }
  protocolText(frame, frame.u8(at + 6), at + 40, behind, packet)
}

/** Prints a packet's payload, extension headers first. */
function protocolText(frame: Dissection, first: number, from: number, end: number, packet: Packet): void {
  let protocol = first
  let at = from
  if (carriesPorts(protocol) && frame.has(at, 4, end)) {
    frame.print(`${packet.from}.${frame.u16(at)} > ${packet.to}.${frame.u16(at + 2)}: `)
    transportText(frame, protocol, at, end, packet)
    return
  }
  frame.print(`${packet.from} > ${packet.to}: `)
  for (;;) {
    const print = extensions[protocol]
    // The others are extension headers of IPv6 only.
    if (!print || (packet.version === 4 && protocol !== AH)) break
    const next = frame.has(at, 1) ? frame.u8(at) : 0
    const size = print(frame, at, end)
    if (size === 0) return
    if (protocol === 44) packet.fragment = true
    protocol = next
    at += size
  }
  if (!carriesPorts(protocol)) {
    otherText(frame, protocol, at, end)
    return
  }
  if (frame.has(at, 4, end)) frame.print(`${frame.u16(at)} > ${frame.u16(at + 2)}: `)
  transportText(frame, protocol, at, end, packet)
}

const carriesPorts = (protocol: number) => protocol === TCP || protocol === UDP || protocol === SCTP

function transportText(frame: Dissection, protocol: number, at: number, end: number, packet: Packet): void {
  if (protocol === TCP) tcpText(frame, at, end)
  else if (protocol === UDP) udpText(frame, at, end, packet.fragment)
  else sctpText(frame, at, end)
}

function otherText(frame: Dissection, protocol: number, at: number, end: number): void {
  if (protocol === 1) icmpText(frame, at, end)
  else if (protocol === 58) icmp6Text(frame, at, end)
  else if (protocol === 2) igmpText(frame, at, end)
  else if (protocol === 4) frame.payload(0x0800, at, end)
  else if (protocol === 41) frame.payload(0x86dd, at, end)
  else if (protocol === 47) greText(frame, at, end)
  else if (protocol === 50) {
    frame.need(at, 8, 'esp', end)
    frame.print(`ESP(spi=${hex(frame.u32(at), 8)},seq=${hex(frame.u32(at + 4))}), length ${end - at}`)
  } else if (protocol === 59) frame.print('no next header')
  else if (protocol === 108) {
    frame.need(at, 4, 'ipcomp', end)
    frame.print(`IPComp(cpi=${hex(frame.u16(at + 2), 4)})`)
  } else frame.print(`ip-proto-${protocol} ${end - at}`)
}

/** Each prints its header and returns its length; 0: nothing more to print. */
const extensions: Readonly<Record<number, (frame: Dissection, at: number, end: number) => number>> = {
  0: (frame, at, end) => options(frame, at, end, 'HBH', 'hbhopt'),
  43: routing,
  44: (frame, at, end) => {
    frame.need(at, 8, 'frag6', end)
    const offset = frame.u16(at + 2) & 0xfff8
    frame.print(`frag (${offset}|${end - at - 8}) `)
    return offset === 0 ? 8 : 0
  },
  [AH]: (frame, at, end) => {
    frame.need(at, 12, 'ah', end)
    const length = (frame.u8(at + 1) + 2) * 4
    const check = length > 12 && frame.has(at, length) ? `,icv=0x${frame.hex(at + 12, length - 12)}` : ''
    frame.print(`AH(spi=${hex(frame.u32(at + 4), 8)},seq=${hex(frame.u32(at + 8))}${check}): `)
    return Math.max(length, 12)
  },
  60: (frame, at, end) => options(frame, at, end, 'DSTOPT', 'dstopt'),
}

function options(frame: Dissection, at: number, end: number, name: string, what: string): number {
  frame.need(at, 2, what, end)
  const length = (frame.u8(at + 1) + 1) * 8
  frame.need(at, length, what, end)
  frame.print(`${name} `)
  return length
}

/** The routing header: old source routes (type 0), mobile nodes (2) and segment routing (4, RFC 8754). */
function routing(frame: Dissection, at: number, end: number): number {
  frame.need(at, 8, 'rt6', end)
  const [units, type, left] = [frame.u8(at + 1), frame.u8(at + 2), frame.u8(at + 3)]
  const length = (units + 1) * 8
  frame.need(at, length, 'rt6', end)
  const deprecated = type === 0 ? ' [Deprecated]' : ''
  const segments = type === 4 ? `, last-entry=${frame.u8(at + 4)}, tag=${frame.u16(at + 6).toString(16)}` : ''
  let addresses = ''
  if (type === 0 || type === 2 || type === 4) {
    for (let i = 0; i < units >> 1; i++) addresses += `, [${i}]${frame.ipv6(at + 8 + 16 * i)}`
  }
  frame.print(`RT6 (len=${units}, type=${type}${deprecated}, segleft=${left}${segments}${addresses}) `)
  return length
}

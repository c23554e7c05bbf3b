/** IPv4 (RFC 791) and IPv6 (RFC 8200) in tcpdump's words. */
import type { FrameView } from './frame-view.js'
import { icmp6Text, icmpText } from './icmp-text.js'
import { tcpText, udpText } from './transport-text.js'

const ICMP = 1
const TCP = 6
const UDP = 17
const ICMPV6 = 58

export function ipv4Text(view: FrameView, at: number): string {
  view.need(at, 20, 'ip')
  const headerLength = (view.u8(at) & 15) * 4
  if (headerLength < 20) return `bad header length ${headerLength}`
  view.need(at, headerLength, 'ip')
  // Frames shorter than 60 bytes are padded: only the total length says where the packet ends. It is zero where
  // the sender left it to segmentation offload.
  const total = view.u16(at + 2) || view.length - at
  if (total < headerLength) return `bad length ${total}`
  const end = Math.min(at + total, view.length)
  const from = view.ipv4(at + 12)
  const to = view.ipv4(at + 16)
  const protocol = view.u8(at + 9)
  if (view.u16(at + 6) & 0x1fff) return `${from} > ${to}: ip-proto-${protocol}`
  return transportText(view, at + headerLength, end, protocol, from, to, total - headerLength)
}

export function ipv6Text(view: FrameView, at: number): string {
  view.need(at, 40, 'ip6')
  const from = view.ipv6(at + 8)
  const to = view.ipv6(at + 24)
  let length = view.u16(at + 4) || view.length - at - 40
  const end = Math.min(at + 40 + length, view.length)
  let next = view.u8(at + 6)
  let cursor = at + 40
  let extensions = ''
  // Extension headers that are only passed over: hop-by-hop, routing, fragment, destination options.
  while (extensionNames[next]) {
    view.need(cursor, 8, extensionNames[next].toLowerCase())
    const size = next === 44 ? 8 : (view.u8(cursor + 1) + 1) * 8
    extensions += `${extensionNames[next]} `
    if (next === 44 && view.u16(cursor + 2) & 0xfff8) return `${from} > ${to}: ${extensions.trimEnd()}`
    next = view.u8(cursor)
    cursor += size
    length -= size
  }
  return transportText(view, cursor, end, next, from, to, length, extensions)
}

const extensionNames: Readonly<Record<number, string>> = { 0: 'HBH', 43: 'RT', 44: 'frag', 60: 'DSTOPT' }

function transportText(
  view: FrameView,
  at: number,
  end: number,
  protocol: number,
  from: string,
  to: string,
  length: number,
  extensions = '',
): string {
  if (protocol === TCP || protocol === UDP) {
    if (at + 4 > end) return `${from} > ${to}: ${extensions}[|${protocol === TCP ? 'tcp' : 'udp'}]`
    const ports = `${from}.${view.u16(at)} > ${to}.${view.u16(at + 2)}`
    const text = protocol === TCP ? tcpText(view, at, end, length) : udpText(view, at, end)
    return `${ports}: ${extensions}${text}`
  }
  const head = `${from} > ${to}: ${extensions}`
  if (protocol === ICMP) return `${head}${icmpText(view, at, end, length)}`
  if (protocol === ICMPV6) return `${head}${icmp6Text(view, at, end, length)}`
  if (protocol === 59) return `${head}no next header`
  return `${head}ip-proto-${protocol} ${length}`
}

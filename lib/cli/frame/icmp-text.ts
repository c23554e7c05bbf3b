/** ICMP (RFC 792) and ICMPv6 (RFC 4443, 4861, 3810) in tcpdump's words. */
import type { FrameView } from './frame-view.js'

/** @param length of the whole message, also where it was cut off */
export function icmpText(view: FrameView, at: number, end: number, length: number): string {
  if (at + 8 > end) return 'ICMP [|icmp]'
  return `ICMP ${icmpKind(view, at, end)}, length ${length}`
}

function icmpKind(view: FrameView, at: number, end: number): string {
  const type = view.u8(at)
  const code = view.u8(at + 1)
  if (type === 0 || type === 8) {
    return `echo ${type ? 'request' : 'reply'}, id ${view.u16(at + 4)}, seq ${view.u16(at + 6)}`
  }
  if (type === 11) return code === 0 ? 'time exceeded in-transit' : 'ip reassembly time exceeded'
  // The offending packet's IP header follows, and the first bytes of what it carried.
  const inner = at + 8
  if (type === 3 && inner + 20 <= end) {
    const to = view.ipv4(inner + 16)
    const protocol = view.u8(inner + 9)
    if (code === 0) return `net ${to} unreachable`
    if (code === 1) return `host ${to} unreachable`
    if (code === 2) return `${to} protocol ${protocol} unreachable`
    const transport = inner + (view.u8(inner) & 15) * 4
    if (code === 3 && transport + 4 <= end && (protocol === 6 || protocol === 17)) {
      return `${to} ${protocol === 6 ? 'tcp' : 'udp'} port ${view.u16(transport + 2)} unreachable`
    }
    if (code === 4) return `${to} unreachable - need to frag (mtu ${view.u16(at + 6)})`
    if (code === 13) return `host ${to} unreachable - admin prohibited filter`
  }
  return `type ${type}, code ${code}`
}

/** @param length of the whole message, also where it was cut off */
export function icmp6Text(view: FrameView, at: number, end: number, length: number): string {
  if (at + 4 > end) return 'ICMP6, [|icmp6]'
  return `ICMP6, ${icmp6Kind(view, at, end)}, length ${length}`
}

function icmp6Kind(view: FrameView, at: number, end: number): string {
  const type = view.u8(at)
  const has = (bytes: number) => at + bytes <= end
  if (type === 128 || type === 129) {
    const name = `echo ${type === 128 ? 'request' : 'reply'}`
    return has(8) ? `${name}, id ${view.u16(at + 4)}, seq ${view.u16(at + 6)}` : name
  }
  if (type === 133) return 'router solicitation'
  if (type === 134) return 'router advertisement'
  if (type === 135) return `neighbor solicitation${has(24) ? `, who has ${view.ipv6(at + 8)}` : ''}`
  if (type === 136) return `neighbor advertisement${has(24) ? `, tgt is ${view.ipv6(at + 8)}` : ''}`
  if (type === 143)
    return `multicast listener report v2${has(8) ? `, ${view.u16(at + 6)} group record(s)` : ''}`
  return `type ${type}, code ${view.u8(at + 1)}`
}

/** Multipath TCP's option (RFC 8684, and version 0, RFC 6824) in tcpdump's words: its subtype and main fields. */
import { type Dissection, hex } from './dissection.js'

const subtypes = ['capable', 'join', 'dss', 'add-addr', 'rem-addr', 'prio', 'fail', 'fast-close']
const SYN = 2

export function mptcpText(frame: Dissection, at: number, length: number, flags: number): string {
  const subtype = frame.u8(at + 2) >> 4
  const name = subtypes[subtype] ?? `unknown-${subtype}`
  return `mptcp ${length} ${name}${details(frame, at, length, subtype, flags)}`
}

function details(frame: Dissection, at: number, length: number, subtype: number, flags: number): string {
  if (subtype === 0) {
    const version = frame.u8(at + 2) & 15
    const checksum = length > 3 && frame.u8(at + 3) & 0x80 ? ' csum' : ''
    const keys = [4, 12].filter((offset) => length >= offset + 8).map((offset) => hex(frame.u64(at + offset)))
    return ` v${version}${checksum}${keys.length > 0 ? ` {${keys.join(',')}}` : ''}`
  }
  if (subtype === 1 && flags & SYN && length === 12) {
    const backup = frame.u8(at + 2) & 1 ? ' backup' : ''
    return `${backup} id ${frame.u8(at + 3)} token ${hex(frame.u32(at + 4))} nonce ${hex(frame.u32(at + 8))}`
  }
  if (subtype === 7 && length === 12) return ` key ${hex(frame.u64(at + 4))}`
  return ''
}

/** GRE (RFC 2784, 2890) and PPTP's (RFC 2637) in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'
import { etherTypeName } from './ether-types.js'

const [CHECKSUM, ROUTING, KEY, SEQUENCE, ACKNOWLEDGMENT] = [0x8000, 0x4000, 0x2000, 0x1000, 0x0080]

export function greText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 2, 'gre', end)
  const flags = frame.u16(at)
  const version = flags & 7
  frame.print(`GREv${version}`)
  if (version > 1) {
    frame.print(' (unknown version)')
    return
  }
  frame.need(at, 4, 'gre', end)
  const type = frame.u16(at + 2)
  let field = at + 4
  /** Reads a field if its flag is set. */
  const take = (flag: number, length: number, print: (at: number) => string) => {
    if ((flags & flag) === 0) return
    frame.need(field, length, 'gre', end)
    frame.print(print(field))
    field += length
  }
  if (version === 0) {
    take(CHECKSUM | ROUTING, 4, (at) => (flags & ROUTING ? '' : `, off ${hex(frame.u16(at + 2))}`))
    take(KEY, 4, (at) => `, key=${hex(frame.u32(at))}`)
  } else take(KEY, 4, (at) => `, call ${frame.u16(at + 2)}`)
  take(SEQUENCE, 4, (at) => `, seq ${frame.u32(at)}`)
  if (version === 1) take(ACKNOWLEDGMENT, 4, (at) => `, ack ${frame.u32(at)}`)
  if (frame.link) frame.print(`, proto ${etherTypeName(type) ?? 'unknown'} (${hex(type, 4)})`)
  frame.print(`, length ${end - at}: `)
  if (!frame.payload(type, field, end)) frame.print(`gre-proto-${hex(type)}`)
}

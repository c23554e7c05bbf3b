/** VXLAN (RFC 7348) and Geneve (RFC 8926) in tcpdump's words, but on one line. */
import { bits, type Dissection, hex } from './dissection.js'
import { etherTypeName } from './ether-types.js'

const ethernetType = 0x6558

export function vxlanText(frame: Dissection, at: number, end: number): void {
  if (end - at < 8) {
    frame.print('VXLAN (invalid)')
    return
  }
  frame.need(at, 8, 'vxlan')
  const flags = frame.u8(at)
  frame.print(`VXLAN, flags [${flags & 8 ? 'I' : 'invalid'}] (${hex(flags, 2)}), vni ${frame.u24(at + 4)}: `)
  frame.payload(ethernetType, at + 8, end)
}

export function geneveText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 8, 'geneve', end)
  const first = frame.u8(at)
  const version = first >> 6
  if (version !== 0) {
    frame.print(`Geneve, unknown version ${version}`)
    return
  }
  const options = (first & 63) * 4
  // Control and critical: bits 7 and 6.
  const flags = bits(frame.u8(at + 1) >> 6, ['C', 'O']) || 'none'
  const type = frame.u16(at + 2)
  frame.print(`Geneve, Flags [${flags}], vni ${hex(frame.u24(at + 4))}`)
  if (frame.link) frame.print(`, proto ${etherTypeName(type) ?? 'unknown'} (${hex(type, 4)})`)
  if (options > 0) frame.print(`, options ${options} bytes`)
  frame.print(': ')
  frame.need(at, 8 + options, 'geneve', end)
  if (!frame.payload(type, at + 8 + options, end)) frame.print(`geneve-proto-${hex(type)}`)
}

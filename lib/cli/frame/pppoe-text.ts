/** PPP over Ethernet (RFC 2516) in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'

const headerLength = 6
const codes: Readonly<Record<number, string>> = {
  9: 'PADI',
  7: 'PADO',
  25: 'PADR',
  101: 'PADS',
  167: 'PADT',
  0: '',
}
const tags: Readonly<Record<number, string>> = {
  257: 'Service-Name',
  258: 'AC-Name',
  259: 'Host-Uniq',
  260: 'AC-Cookie',
  261: 'Vendor-Specific',
  272: 'Relay-Session-ID',
  513: 'Service-Name-Error',
  514: 'AC-System-Error',
  515: 'Generic-Error',
}
const protocols: Readonly<Record<number, string>> = {
  33: 'IP',
  87: 'IP6',
  32801: 'IPCP',
  32855: 'IP6CP',
  49185: 'LCP',
  49187: 'PAP',
  49699: 'CHAP',
}

/** Prints the header; returns where the payload ends. */
function header(frame: Dissection, at: number, end: number): number {
  frame.need(at, headerLength, 'pppoe', end)
  frame.print('PPPoE ')
  const versionAndType = frame.u8(at)
  if (versionAndType !== 0x11) frame.print(` [ver ${versionAndType >> 4}] [type ${versionAndType & 15}]`)
  const [code, session] = [frame.u8(at + 1), frame.u16(at + 2)]
  frame.print(codes[code] ?? `PAD-${code.toString(16)}`)
  if (session !== 0) frame.print(` [ses ${hex(session)}]`)
  return Math.min(end, at + headerLength + frame.u16(at + 4))
}

export function pppoeDiscoveryText(frame: Dissection, at: number, end: number): void {
  const behind = header(frame, at, end)
  for (let tag = at + headerLength; tag < behind; ) {
    frame.need(tag, 4, 'pppoe', behind)
    const [type, length] = [frame.u16(tag), frame.u16(tag + 2)]
    if (type === 0) return
    frame.need(tag + 4, length, 'pppoe', behind)
    frame.print(` [${tags[type] ?? `TAG-${hex(type)}`}${valueText(frame, tag + 4, length)}]`)
    tag += 4 + length
  }
}

/** A tag's value as text, if most of it is printable. */
function valueText(frame: Dissection, at: number, length: number): string {
  if (length === 0) return ''
  const text = frame.ascii(at, length)
  const printable = frame.bytes.subarray(at, at + length).every((byte) => byte >= 0x20 && byte < 0x7f)
  return printable ? ` "${text}"` : ` 0x${frame.hex(at, length).toUpperCase()}`
}

export function pppoeSessionText(frame: Dissection, at: number, end: number): void {
  const behind = header(frame, at, end)
  const protocol = at + headerLength
  frame.need(protocol, 2, 'pppoe', behind)
  const number = frame.u16(protocol)
  const name = protocols[number]
  frame.print(' ')
  if (frame.link) frame.print(`${name ?? 'unknown'} (${hex(number, 4)}), length ${behind - protocol}: `)
  else if (!name) frame.print(`unknown PPP protocol (${hex(number, 4)})`)
  if (number === 0x0021) frame.payload(0x0800, protocol + 2, behind)
  else if (number === 0x0057) frame.payload(0x86dd, protocol + 2, behind)
  else if (name && !frame.link) frame.print(`${name}, length ${behind - protocol}`)
}

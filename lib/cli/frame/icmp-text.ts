/** ICMP (RFC 792, 950, 1256, 1812) in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'

export function icmpText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 4, 'icmp', end)
  const type = frame.u8(at)
  const words = (types[type] ?? other)(frame, at, end)
  frame.print(`ICMP ${words}, length ${end - at}`)
}

type Words = (frame: Dissection, at: number, end: number) => string

const other: Words = (frame, at) => `type-#${frame.u8(at)}`

const echo =
  (name: string): Words =>
  (frame, at, end) => {
    frame.need(at, 8, 'icmp', end)
    return `echo ${name}, id ${frame.u16(at + 4)}, seq ${frame.u16(at + 6)}`
  }

const timeStamp =
  (name: string): Words =>
  (frame, at, end) => {
    frame.need(at, 20, 'icmp', end)
    const head = `time stamp ${name} id ${frame.u16(at + 4)} seq ${frame.u16(at + 6)}`
    if (name === 'query') return head
    const [origin, received, sent] = [8, 12, 16].map((offset) => timeOfDay(frame.u32(at + offset)))
    return `${head}: org ${origin}, recv ${received}, xmit ${sent}`
  }

const types: Readonly<Record<number, Words>> = {
  0: echo('reply'),
  3: unreachable,
  4: () => 'source quench',
  5: redirect,
  8: echo('request'),
  9: routerAdvertisement,
  10: () => 'router solicitation',
  11: (frame, at) => {
    const code = frame.u8(at + 1)
    const kinds = ['time exceeded in-transit', 'ip reassembly time exceeded']
    return kinds[code] ?? `time exceeded-#${code}`
  },
  12: (frame, at, end) => {
    const code = frame.u8(at + 1)
    if (code !== 0) return `parameter problem - code ${code}`
    frame.need(at, 8, 'icmp', end)
    return `parameter problem - octet ${frame.u8(at + 4)}`
  },
  13: timeStamp('query'),
  14: timeStamp('reply'),
  15: () => 'information request',
  16: () => 'information reply',
  17: () => 'address mask request',
  18: (frame, at, end) => {
    frame.need(at, 12, 'icmp', end)
    return `address mask is ${hex(frame.u32(at + 8), 8)}`
  },
}

/** The offending packet follows: its IP header, and the first bytes of its payload, say what was unreachable. */
function unreachable(frame: Dissection, at: number, end: number): string {
  const code = frame.u8(at + 1)
  const inner = at + 8
  frame.need(inner, 20, 'icmp', end)
  const to = frame.ipv4(inner + 16)
  const protocol = frame.u8(inner + 9)
  if (code === 2) return `${to} protocol ${protocol} unreachable`
  if (code === 3) {
    const transport = inner + (frame.u8(inner) & 15) * 4
    frame.need(transport, 4, 'icmp', end)
    const name = { 6: 'tcp', 17: 'udp' }[protocol] ?? `protocol ${protocol}`
    return `${to} ${name} port ${frame.u16(transport + 2)} unreachable`
  }
  if (code === 4) {
    const mtu = frame.u16(at + 6)
    return `${to} unreachable - need to frag${mtu === 0 ? '' : ` (mtu ${mtu})`}`
  }
  const [what, why] = unreachables[code] ?? ['', `#${code}`]
  return `${what}${to} unreachable${why ? ` - ${why}` : ''}`
}

const unreachables: Readonly<Record<number, [what: string, why: string]>> = {
  0: ['net ', ''],
  1: ['host ', ''],
  5: ['', 'source route failed'],
  6: ['net ', 'unknown'],
  7: ['host ', 'unknown'],
  8: ['', 'source host isolated'],
  9: ['net ', 'admin prohibited'],
  10: ['host ', 'admin prohibited'],
  11: ['net ', 'tos prohibited'],
  12: ['host ', 'tos prohibited'],
  13: ['host ', 'admin prohibited filter'],
  14: ['host ', 'host precedence violation'],
  15: ['host ', 'precedence cutoff'],
}

function redirect(frame: Dissection, at: number, end: number): string {
  const code = frame.u8(at + 1)
  frame.need(at + 8, 20, 'icmp', end)
  const target = frame.ipv4(at + 8 + 16)
  const by = code > 1 ? 'redirect-tos' : 'redirect'
  if (code > 3) return `redirect-#${code} ${target} to ${frame.ipv4(at + 4)}`
  return `${by} ${target} to ${code & 1 ? 'host' : 'net'} ${frame.ipv4(at + 4)}`
}

function routerAdvertisement(frame: Dissection, at: number, end: number): string {
  frame.need(at, 8, 'icmp', end)
  const [count, words, lifetime] = [frame.u8(at + 4), frame.u8(at + 5), frame.u16(at + 6)]
  const parts = [Math.floor(lifetime / 3600), Math.floor(lifetime / 60) % 60, lifetime % 60]
  const time =
    lifetime < 60
      ? `${lifetime}`
      : parts
          .slice(parts[0] === 0 ? 1 : 0)
          .map((part, i) => (i === 0 ? `${part}` : String(part).padStart(2, '0')))
          .join(':')
  const routers: string[] = []
  for (let i = 0; i < count; i++) {
    const entry = at + 8 + i * words * 4
    frame.need(entry, 8, 'icmp', end)
    routers.push(` {${frame.ipv4(entry)} ${frame.u32(entry + 4)}}`)
  }
  return `router advertisement lifetime ${time} ${count}:${routers.join('')}`
}

/** Milliseconds since midnight. */
function timeOfDay(milliseconds: number): string {
  const whole = Math.floor(milliseconds / 1000)
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return `${parts.map((part) => String(part).padStart(2, '0')).join(':')}.${String(milliseconds % 1000).padStart(3, '0')}`
}

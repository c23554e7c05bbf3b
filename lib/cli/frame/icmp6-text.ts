/** ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and multicast listeners (RFC 2710, 3810) in tcpdump's words. */
import type { Dissection } from './dissection.js'

export function icmp6Text(frame: Dissection, at: number, end: number): void {
  frame.print('ICMP6, ')
  frame.need(at, 1, 'icmp6', end)
  const type = frame.u8(at)
  const print = types[type]
  if (print) print(frame, at, end)
  else frame.print(`type-#${type}`)
  frame.print(`, length ${end - at}`)
}

type Printer = (frame: Dissection, at: number, end: number) => void

const words =
  (text: string): Printer =>
  (frame) =>
    frame.print(text)

const echo =
  (name: string): Printer =>
  (frame, at, end) => {
    frame.print(`echo ${name}`)
    frame.need(at, 8, 'icmp6', end)
    frame.print(`, id ${frame.u16(at + 4)}, seq ${frame.u16(at + 6)}`)
  }

/** An address behind the first 8 bytes, after a word. */
const about =
  (text: string, before: string): Printer =>
  (frame, at, end) => {
    frame.print(text)
    frame.need(at, 24, 'icmp6', end)
    frame.print(`${before}${frame.ipv6(at + 8)}`)
  }

const listener =
  (text: string): Printer =>
  (frame, at, end) => {
    frame.print(`multicast listener ${text}`)
    frame.need(at, 24, 'icmp6', end)
    frame.print(` max resp delay: ${frame.u16(at + 4)} addr: ${frame.ipv6(at + 8)}`)
  }

const types: Readonly<Record<number, Printer>> = {
  1: unreachable,
  2: (frame, at, end) => {
    frame.print('packet too big')
    frame.need(at, 8, 'icmp6', end)
    frame.print(`, mtu ${frame.u32(at + 4)}`)
  },
  3: (frame, at, end) => {
    const code = codeOf(frame, at, end)
    frame.print('time exceeded in-transit')
    if (code === 0) frame.print(` for ${destination(frame, at, end)}`)
    else frame.print(code === 1 ? ' (reassembly)' : `, unknown code (${code})`)
  },
  4: (frame, at, end) => {
    const code = codeOf(frame, at, end)
    frame.print('parameter problem, ')
    frame.need(at, 8, 'icmp6', end)
    const kind = ['erroneous', 'next header', 'option', 'incomplete header chain'][code] ?? `code-#${code}`
    frame.print(`${kind} - octet ${frame.u32(at + 4)}`)
  },
  128: echo('request'),
  129: echo('reply'),
  130: (frame, at, end) => {
    if (end - at < 28) {
      listener('query')(frame, at, end)
      return
    }
    about('multicast listener query v2', ' [gaddr ')(frame, at, end)
    frame.print(']')
  },
  131: listener('report'),
  132: listener('done'),
  133: words('router solicitation'),
  134: words('router advertisement'),
  135: about('neighbor solicitation', ', who has '),
  136: about('neighbor advertisement', ', tgt is '),
  137: (frame, at, end) => {
    frame.print('redirect')
    frame.need(at, 40, 'icmp6', end)
    frame.print(`, ${frame.ipv6(at + 24)} to ${frame.ipv6(at + 8)}`)
  },
  143: (frame, at, end) => {
    frame.print('multicast listener report v2')
    frame.need(at, 8, 'icmp6', end)
    frame.print(`, ${frame.u16(at + 6)} group record(s)`)
  },
}

function codeOf(frame: Dissection, at: number, end: number): number {
  frame.need(at, 2, 'icmp6', end)
  return frame.u8(at + 1)
}

/** Destination of the packet that this message reports on. */
function destination(frame: Dissection, at: number, end: number): string {
  frame.need(at + 8, 40, 'icmp6', end)
  return frame.ipv6(at + 8 + 24)
}

function unreachable(frame: Dissection, at: number, end: number): void {
  const code = codeOf(frame, at, end)
  frame.print('destination unreachable, ')
  if (code === 0) frame.print(`unreachable route ${destination(frame, at, end)}`)
  else if (code === 1) frame.print(`unreachable prohibited ${destination(frame, at, end)}`)
  else if (code === 2) {
    frame.print(`beyond scope ${destination(frame, at, end)}, source address ${frame.ipv6(at + 8 + 8)}`)
  } else if (code === 3) frame.print(`unreachable address ${destination(frame, at, end)}`)
  else if (code === 4) {
    frame.print('unreachable port')
    const to = destination(frame, at, end)
    const protocol = frame.u8(at + 8 + 6)
    const transport = at + 8 + 40
    frame.need(transport, 4, 'icmp6', end)
    const name = { 6: 'tcp', 17: 'udp' }[protocol] ?? `protocol ${protocol}`
    frame.print(`, ${to} ${name} port ${frame.u16(transport + 2)}`)
  } else frame.print(`unknown unreach code (${code})`)
}

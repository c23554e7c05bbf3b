/** TCP (RFC 9293) in tcpdump's words, with absolute sequence numbers. */
import { bits, type Dissection, hex } from './dissection.js'
import { mptcpText } from './mptcp-text.js'

// In the order of their bits, as tcpdump prints them.
const flagNames = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W']
const FIN = 1
const SYN = 2
const RST = 4
const ACK = 16
const URG = 32

export function tcpText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 20, 'tcp', end)
  const length = end - at
  const headerLength = (frame.u8(at + 12) >> 4) * 4
  const data = length - headerLength
  if (headerLength < 20) {
    frame.print(`tcp ${data} [bad hdr length ${headerLength} - too short, < 20]`)
    return
  }
  const flags = frame.u8(at + 13)
  const sequence = frame.u32(at + 4)
  frame.print(`Flags [${bits(flags, flagNames) || 'none'}]`)
  if (data < 0) {
    frame.print(` [bad hdr length ${headerLength} - too long, > ${length}]`)
    return
  }
  if (data > 0 || flags & (SYN | FIN | RST)) frame.print(`, seq ${sequence}`)
  if (data > 0) frame.print(`:${(sequence + data) >>> 0}`)
  if (flags & ACK) frame.print(`, ack ${frame.u32(at + 8)}`)
  frame.print(`, win ${frame.u16(at + 14)}`)
  if (flags & URG) frame.print(`, urg ${frame.u16(at + 18)}`)
  if (headerLength > 20 && !optionsText(frame, at + 20, at + headerLength, flags)) return
  frame.print(`, length ${data}`)
}

/** Prints the options; returns whether they were complete. */
function optionsText(frame: Dissection, from: number, end: number, flags: number): boolean {
  frame.print(', options [')
  for (let at = from; at < end; ) {
    if (at > from) frame.print(',')
    frame.need(at, 1, 'tcp')
    const kind = frame.u8(at)
    if (kind === 0) {
      frame.print('eol')
      break
    }
    if (kind === 1) {
      frame.print('nop')
      at++
      continue
    }
    frame.need(at, 2, 'tcp')
    const length = frame.u8(at + 1)
    const wanted = lengths[kind]
    if (length < 2 || at + length > end || (wanted !== undefined && wanted !== length)) {
      frame.print('[bad opt]')
      return false
    }
    frame.need(at, length, 'tcp')
    frame.print(optionText(frame, at, kind, length, flags))
    at += length
  }
  frame.print(']')
  return true
}

/** Options of fixed length. */
const lengths: Readonly<Record<number, number>> = { 2: 4, 3: 3, 4: 2, 6: 6, 7: 6, 8: 10, 19: 18, 28: 4 }

function optionText(frame: Dissection, at: number, kind: number, length: number, flags: number): string {
  const value = at + 2
  const size = length - 2
  if (kind === 2) return `mss ${frame.u16(value)}`
  if (kind === 3) return `wscale ${frame.u8(value)}`
  if (kind === 4) return 'sackOK'
  if (kind === 5 && size % 8 === 0) {
    const blocks = Array.from({ length: size / 8 }, (_, i) => {
      const block = value + 8 * i
      return `{${frame.u32(block)}:${frame.u32(block + 4)}}`
    })
    return `sack ${blocks.length} ${blocks.join('')}`
  }
  if (kind === 6 || kind === 7) return `${kind === 6 ? 'echo' : 'echoreply'} ${frame.u32(value)}`
  if (kind === 8) return `TS val ${frame.u32(value)} ecr ${frame.u32(value + 4)}`
  if (kind === 19) return `md5 ${frame.hex(value, size)}`
  if (kind === 28) {
    const timeout = frame.u16(value)
    return `uto ${hex(timeout)} ${(timeout & 0x7fff) * (timeout & 0x8000 ? 60 : 1)}`
  }
  if (kind === 29 && size >= 2) {
    const mac = size > 2 ? ` mac 0x${frame.hex(value + 2, size - 2)}` : ''
    return `tcp-ao keyid ${frame.u8(value)} rnextkeyid ${frame.u8(value + 1)}${mac}`
  }
  if (kind === 30 && size >= 1) return mptcpText(frame, at, length, flags)
  if (kind === 34) return `tfo ${cookieText(frame, value, size)}`
  if ((kind === 253 || kind === 254) && size >= 2) {
    const magic = frame.u16(value)
    if (magic === 0xf989) return `exp-tfo ${cookieText(frame, value + 2, size - 2)}`
    if (kind === 254)
      return `exp-${frame.hex(value, 2)}${size > 2 ? ` 0x${frame.hex(value + 2, size - 2)}` : ''}`
  }
  return `unknown-${kind}${size > 0 ? ` 0x${frame.hex(value, size)}` : ''}`
}

/** The cookie of TCP Fast Open (RFC 7413). */
function cookieText(frame: Dissection, at: number, length: number): string {
  return length === 0 ? 'cookiereq' : `cookie ${frame.hex(at, length)}`
}

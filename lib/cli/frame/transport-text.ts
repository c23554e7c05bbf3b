/** TCP (RFC 9293) and UDP (RFC 768) in tcpdump's words. */
import type { FrameView } from './frame-view.js'

export function udpText(view: FrameView, at: number, end: number): string {
  if (at + 8 > end) return '[|udp]'
  const length = view.u16(at + 4)
  return length < 8 ? `truncated-udplength ${length}` : `UDP, length ${length - 8}`
}

// In the order of their bits, as tcpdump prints them.
const flagNames = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W']
const FIN = 1
const SYN = 2
const RST = 4
const ACK = 16
const URG = 32

/** @param length of header and data, also where they were cut off */
export function tcpText(view: FrameView, at: number, end: number, length: number): string {
  if (at + 20 > end) return 'tcp [|tcp]'
  const headerLength = (view.u8(at + 12) >> 4) * 4
  if (headerLength < 20) return `tcp [bad hdr length ${headerLength}, too short, < 20]`
  const flags = view.u8(at + 13)
  const data = length - headerLength
  if (data < 0) return `tcp [bad hdr length ${headerLength}, too long, > ${length}]`
  const sequence = view.u32(at + 4)
  let text = `Flags [${flagNames.filter((_, i) => flags & (1 << i)).join('') || 'none'}]`
  if (data > 0 || flags & (SYN | FIN | RST)) text += `, seq ${sequence}`
  if (data > 0) text += `:${(sequence + data) >>> 0}`
  if (flags & ACK) text += `, ack ${view.u32(at + 8)}`
  text += `, win ${view.u16(at + 14)}`
  if (flags & URG) text += `, urg ${view.u16(at + 18)}`
  if (headerLength > 20) text += `, options [${optionsText(view, at + 20, Math.min(at + headerLength, end))}]`
  return `${text}, length ${data}`
}

function optionsText(view: FrameView, from: number, end: number): string {
  const texts: string[] = []
  for (let at = from; at < end; ) {
    const kind = view.u8(at)
    if (kind === 0) {
      texts.push('eol')
      break
    }
    if (kind === 1) {
      texts.push('nop')
      at++
      continue
    }
    const length = at + 1 < end ? view.u8(at + 1) : 0
    if (length < 2 || at + length > end) {
      texts.push('[|tcp]')
      break
    }
    texts.push(optionText(view, at, kind, length))
    at += length
  }
  return texts.join(',')
}

function optionText(view: FrameView, at: number, kind: number, length: number): string {
  if (kind === 2 && length === 4) return `mss ${view.u16(at + 2)}`
  if (kind === 3 && length === 3) return `wscale ${view.u8(at + 2)}`
  if (kind === 4 && length === 2) return 'sackOK'
  if (kind === 5 && length % 8 === 2) {
    const blocks = Array.from({ length: (length - 2) / 8 }, (_, i) => {
      const block = at + 2 + 8 * i
      return `{${view.u32(block)}:${view.u32(block + 4)}}`
    })
    return `sack ${blocks.length} ${blocks.join('')}`
  }
  if (kind === 8 && length === 10) return `TS val ${view.u32(at + 2)} ecr ${view.u32(at + 6)}`
  return `unknown-${kind}`
}

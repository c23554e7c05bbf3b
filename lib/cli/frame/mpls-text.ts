/** MPLS label stacks (RFC 3032) in tcpdump's words. */
import type { Dissection } from './dissection.js'

const bottomOfStack = 0x100

export function mplsText(frame: Dissection, from: number, end: number): void {
  frame.print('MPLS')
  if (end - from < 4) {
    frame.print(' (invalid)')
    return
  }
  let entry: number
  let at = from
  do {
    frame.need(at, 4, 'mpls', end)
    entry = frame.u32(at)
    const bottom = entry & bottomOfStack ? ', [S]' : ''
    frame.print(` (label ${entry >>> 12}, tc ${(entry >> 9) & 7}${bottom}, ttl ${entry & 255})`)
    at += 4
  } while ((entry & bottomOfStack) === 0)
  frame.print(' ')
  // The label stack does not name the payload's protocol: its first half byte is an IP version, or it is not IP.
  const version = frame.has(at, 1, end) ? frame.u8(at) >> 4 : 0
  if (version === 4) frame.payload(0x0800, at, end)
  else if (version === 6) frame.payload(0x86dd, at, end)
}

/** UDP (RFC 768) in tcpdump's words, and the tunnels over it. */
import type { Dissection } from './dissection.js'
import { geneveText, vxlanText } from './overlay-text.js'

const vxlanPort = 4789
const genevePort = 6081

/** @param fragment whether it is a first fragment: its length exceeds its bytes */
export function udpText(frame: Dissection, at: number, end: number, fragment: boolean): void {
  frame.need(at, 4, 'udp', end)
  const available = end - at
  if (available < 8) {
    frame.print(`truncated-udp ${available}`)
    return
  }
  frame.need(at, 8, 'udp')
  const length = frame.u16(at + 4)
  if (length < 8) frame.print(`truncated-udplength ${length}`)
  else if (length > available && !fragment) frame.print(`UDP, bad length ${length - 8} > ${available - 8}`)
  else {
    const [from, to] = [frame.u16(at), frame.u16(at + 2)]
    if (from === vxlanPort || to === vxlanPort) vxlanText(frame, at + 8, at + length)
    else if (from === genevePort || to === genevePort) geneveText(frame, at + 8, at + length)
    else frame.print(`UDP, length ${length - 8}`)
  }
}

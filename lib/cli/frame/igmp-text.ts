/** IGMP (RFC 1112, 2236, 3376) in tcpdump's words. */
import type { Dissection } from './dissection.js'

export function igmpText(frame: Dissection, at: number, end: number): void {
  frame.need(at, 1, 'igmp', end)
  const type = frame.u8(at)
  const group = () => {
    frame.need(at, 8, 'igmp', end)
    return frame.ipv4(at + 4)
  }
  if (type === 0x11) queryText(frame, at, end, group)
  else if (type === 0x12) frame.print(`igmp v1 report ${group()}`)
  else if (type === 0x16) frame.print(`igmp v2 report ${group()}`)
  else if (type === 0x17) frame.print(`igmp leave ${group()}`)
  else if (type === 0x22) {
    frame.print('igmp v3 report')
    frame.need(at, 8, 'igmp', end)
    frame.print(`, ${frame.u16(at + 6)} group record(s)`)
  } else frame.print(`igmp-${type}`)
}

/** The versions differ in length, and in whether there is a maximum response time. */
function queryText(frame: Dissection, at: number, end: number, group: () => string): void {
  if (end - at >= 12) {
    frame.print('igmp query v3')
    frame.need(at, 12, 'igmp', end)
    const sources = frame.u16(at + 10)
    const about = [
      ...(frame.u32(at + 4) === 0 ? [] : [`gaddr ${group()}`]),
      ...(sources === 0 ? [] : [`${sources} source(s)`]),
    ]
    if (about.length > 0) frame.print(` [${about.join(', ')}]`)
    return
  }
  frame.need(at, 2, 'igmp', end)
  frame.print(`igmp query v${frame.u8(at + 1) === 0 ? 1 : 2}`)
  const asked = group()
  if (asked !== '0.0.0.0') frame.print(` [gaddr ${asked}]`)
}

/** ARP (RFC 826) in tcpdump's words. */
import type { FrameView } from './frame-view.js'

const headerLength = 8

export function arpText(view: FrameView, at: number): string {
  view.need(at, headerLength, 'arp')
  const hardware = view.u8(at + 4)
  const protocol = view.u8(at + 5)
  const operation = view.u16(at + 6)
  const length = `length ${view.length - at}`
  if (view.u16(at + 2) !== 0x0800 || hardware !== 6 || protocol !== 4) {
    return `hardware ${view.u16(at)}, protocol 0x${view.u16(at + 2).toString(16)}, operation ${operation}, ${length}`
  }
  view.need(at, headerLength + 2 * (hardware + protocol), 'arp')
  const sender = at + headerLength
  const target = sender + hardware + protocol
  const from = view.ipv4(sender + hardware)
  const to = view.ipv4(target + hardware)
  if (operation === 1) {
    // A target that is asked for by its hardware address too is worth a word.
    const known = view.bytes.subarray(target, target + hardware).some((byte) => byte !== 0)
    return `Request who-has ${to}${known ? ` (${view.mac(target)})` : ''} tell ${from}, ${length}`
  }
  if (operation === 2) return `Reply ${from} is-at ${view.mac(sender)}, ${length}`
  return `operation ${operation}, ${length}`
}

/** ARP (RFC 826), RARP (RFC 903) and inverse ARP (RFC 2390) in tcpdump's words. */
import { type Dissection, hex } from './dissection.js'
import { etherTypeName } from './ether-types.js'

const headerLength = 8
const hardwareNames: Readonly<Record<number, string>> = { 1: 'Ethernet', 6: 'TokenRing', 32: 'InfiniBand' }

export function arpText(frame: Dissection, at: number, end: number): void {
  frame.need(at, headerLength, 'arp', end)
  const [hardware, protocol] = [frame.u8(at + 4), frame.u8(at + 5)]
  frame.need(at, headerLength + 2 * (hardware + protocol), 'arp', end)
  frame.name('ARP, ')
  const length = `, length ${end - at}`
  const type = frame.u16(at + 2)
  if (type !== 0x0800 || protocol !== 4 || hardware === 0) {
    const named = hardwareNames[frame.u16(at)] ?? `Unknown Hardware (${frame.u16(at)})`
    const kind = etherTypeName(type) ?? `Unknown Protocol (${hex(type, 4)})`
    frame.print(`${named} (len ${hardware}), ${kind} (len ${protocol})${length}`)
    return
  }
  const sender = at + headerLength
  const target = sender + hardware + protocol
  const address = (where: number) => (hardware === 6 ? frame.mac(where) : frame.hex(where, hardware))
  const [from, to] = [frame.ipv4(sender + hardware), frame.ipv4(target + hardware)]
  const operation = frame.u16(at + 6)
  if (operation === 1) {
    // Print the target's hardware address if the request has one already.
    const known = frame.bytes.subarray(target, target + hardware).some((byte) => byte !== 0)
    frame.print(`Request who-has ${to}${known ? ` (${address(target)})` : ''} tell ${from}`)
  } else if (operation === 2) frame.print(`Reply ${from} is-at ${address(sender)}`)
  else if (operation === 3) frame.print(`Reverse Request who-is ${address(target)} tell ${address(sender)}`)
  else if (operation === 4) frame.print(`Reverse Reply ${address(target)} at ${to}`)
  else if (operation === 8) frame.print(`Inverse Request who-is ${address(target)} tell ${address(sender)}`)
  else if (operation === 9) frame.print(`Inverse Reply ${address(sender)} at ${from}`)
  else {
    frame.print(operation === 10 ? 'NACK Reply' : `Unknown (${operation})`)
    return
  }
  frame.print(length)
}

/** The frame that is sent: a UDP datagram from the port to itself, without checksums, which the device is to compute. */
import { EtherType, IpProtocol, ipv4, udp } from '../../headers/index.js'

const text = 'hello, wire!'
const ethernetLength = 14
const ipLength = 20
/** The discard port (RFC 863). */
const discard = 9

export function exampleFrame(mac: Uint8Array): Uint8Array {
  const payload = new TextEncoder().encode(text)
  const datagram = udp.headerLength + payload.length
  const frame = new Uint8Array(ethernetLength + ipLength + datagram)
  frame.set(mac, 0)
  frame.set(mac, 6)
  frame.set([EtherType.ipv4 >> 8, EtherType.ipv4 & 0xff], 12)
  // Addresses for examples (RFC 5737).
  const [from, to] = ['192.0.2.1', '192.0.2.2'].map((address) => ipv4.parse(address))
  const at = ipv4.write(frame, ethernetLength, datagram, IpProtocol.udp, from, to)
  frame.set(payload, udp.write(frame, at, discard, discard, payload.length))
  frame.fill(0, ethernetLength + 10, ethernetLength + 12)
  return frame
}

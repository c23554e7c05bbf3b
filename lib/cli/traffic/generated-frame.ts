/** The frames of `generate`: a header, and a payload with the frame's sequence number and due time. */
import { EtherType, IpProtocol } from '../../headers/assigned-numbers.js'
import { setU16, setU32, u16, u32 } from '../../headers/bytes.js'
import * as checksum from '../../headers/checksum.js'
import * as ethernet from '../../headers/ethernet.js'
import * as ipv4 from '../../headers/ipv4.js'
import * as ipv6 from '../../headers/ipv6.js'
import * as udp from '../../headers/udp.js'
import * as vlan from '../../headers/vlan.js'

/**
 * The payload, all numbers big-endian: a magic number and the stream (16 bits each), the sequence number (48 bits), and the
 * frame's due time (seconds since 1970 and nanoseconds, 32 bits each); at full speed, the time of writing. It fits into the
 * shortest frame, behind the headers of IPv4 and UDP.
 */
export const payloadLength = 18
const magic = 0x1b76

/** Where the payload of a test frame begins; −1: not a test frame. */
export function payloadOf(bytes: Uint8Array, at: number, end: number): number {
  const network = vlan.payload(bytes, at, end)
  if (network < 0) return -1
  const type = vlan.payloadType(bytes, network)
  let payload = -1
  if (type === EtherType.localExperimental1) payload = network
  else if (type === EtherType.ipv4) {
    if (ipv4.isValid(bytes, network, end) && ipv4.protocol(bytes, network) === IpProtocol.udp)
      payload = ipv4.payload(bytes, network) + udp.headerLength
  } else if (type === EtherType.ipv6) {
    if (ipv6.isValid(bytes, network, end) && ipv6.nextHeader(bytes, network) === IpProtocol.udp)
      payload = network + ipv6.headerLength + udp.headerLength
  }
  return payload >= 0 && payload + payloadLength <= end && u16(bytes, payload) === magic ? payload : -1
}

export function streamOf(bytes: Uint8Array, payload: number): number {
  return u16(bytes, payload + 2)
}

export function sequenceOf(bytes: Uint8Array, payload: number): number {
  return u16(bytes, payload + 4) * 2 ** 32 + u32(bytes, payload + 6)
}

export function secondsOf(bytes: Uint8Array, payload: number): number {
  return u32(bytes, payload + 10)
}

export function nanosecondsOf(bytes: Uint8Array, payload: number): number {
  return u32(bytes, payload + 14)
}

/** Addresses of the frames' sender and receiver. IP addresses are as `resolve()` returns them. */
export interface Target {
  destinationMac: Uint8Array
  sourceMac: Uint8Array
  /** Undefined for frames of the experimental EtherType 0x88b5. */
  ip?: { source: string; destination: string; sourcePort: number; destinationPort: number }
}

/** Bytes of the shortest frame of this kind, without its check sequence. */
export function shortestFrame({ ip }: Target): number {
  if (!ip) return ethernet.minimumFrameLength
  const network = ip.destination.includes(':') ? ipv6.headerLength : ipv4.minimumHeaderLength
  return Math.max(
    ethernet.minimumFrameLength,
    ethernet.headerLength + network + udp.headerLength + payloadLength,
  )
}

/** Writes frames that differ in their payload and UDP checksum only. */
export class GeneratedFrame {
  readonly length: number
  readonly stream: number
  readonly #template: Uint8Array
  readonly #payload: number
  /** Offset of the UDP checksum; −1: none. */
  readonly #checksum: number
  /** The checksum's sum over all bytes that are the same in every frame. */
  readonly #sum: number

  /** @param stream number of this generator, 0 to 65535 */
  constructor(target: Target, length: number, stream: number) {
    const { ip } = target
    this.length = length
    this.stream = stream
    const frame = new Uint8Array(length)
    const type = !ip
      ? EtherType.localExperimental1
      : ip.destination.includes(':')
        ? EtherType.ipv6
        : EtherType.ipv4
    const network = ethernet.write(frame, 0, target.destinationMac, target.sourceMac, type)
    let at = network
    let sumAt = -1
    if (ip) {
      const bytes = length - network
      at =
        type === EtherType.ipv4
          ? ipv4.write(
              frame,
              network,
              bytes - ipv4.minimumHeaderLength,
              IpProtocol.udp,
              ipv4.parse(ip.source),
              ipv4.parse(ip.destination),
            )
          : ipv6.write(
              frame,
              network,
              bytes - ipv6.headerLength,
              IpProtocol.udp,
              ipv6.parse(ip.source),
              ipv6.parse(ip.destination),
            )
      const header = at
      at = udp.write(frame, header, ip.sourcePort, ip.destinationPort, length - header - udp.headerLength)
      sumAt = header + 6
    }
    setU16(frame, at, magic)
    setU16(frame, at + 2, stream)
    this.#sum =
      sumAt < 0
        ? 0
        : checksum.upperLayer(frame, sumAt - 6, network, checksum.packetEnd(frame, network), IpProtocol.udp)
    this.#template = frame
    this.#payload = at
    this.#checksum = sumAt
  }

  write(memory: Uint8Array, offset: number, sequence: number, seconds: number, nanoseconds: number): void {
    memory.set(this.#template, offset)
    const at = offset + this.#payload + 4
    setU16(memory, at, sequence / 2 ** 32)
    setU32(memory, at + 2, sequence % 2 ** 32)
    setU32(memory, at + 6, seconds)
    setU32(memory, at + 10, nanoseconds)
    if (this.#checksum < 0) return
    const sum = checksum.finish(checksum.sum(memory, at, at + 14, this.#sum))
    // Zero means no checksum.
    setU16(memory, offset + this.#checksum, sum === 0 ? 0xffff : sum)
  }
}

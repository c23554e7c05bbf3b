/** Frames whose checksum the kernel or the device completes, and the receive paths of AF_PACKET. */
import { ways } from './traffic.js'

export const paths = ways
  .filter((way) => way === 'af_packet' || way === 'recvmmsg')
  .map((way) => (way === 'recvmmsg' ? way : ('ring' as const)))
/** tshark: the checksum is right. */
export const good = '1'

/** An Ethernet frame with a UDP datagram, whose checksum is the pseudo-header's sum; with a tag it is the inner frame. */
export function datagram(
  to: Uint8Array,
  from: Uint8Array,
  payload: number,
  tag: readonly number[] = [],
): Uint8Array {
  const length = 8 + payload
  const frame = Uint8Array.of(
    ...[...to, ...from, ...tag, 8, 0],
    ...[
      0x45,
      0,
      (20 + length) >> 8,
      (20 + length) & 0xff,
      0,
      1,
      0,
      0,
      64,
      17,
      0,
      0,
      10,
      9,
      0,
      2,
      10,
      9,
      0,
      1,
    ],
    ...[0x30, 0x39, 0xd4, 0x31, length >> 8, length & 0xff, 0, 0],
    ...Array.from({ length: payload }, (_, i) => (i * 7) & 0xff),
  )
  const at = 14 + tag.length
  const put = (place: number, sum: number): void => {
    frame[place] = sum >> 8
    frame[place + 1] = sum & 0xff
  }
  const add = (begin: number, end: number, first: number): number => {
    let sum = first
    for (let i = begin; i < end; i += 2) sum += (frame[i] << 8) | frame[i + 1]
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
    return sum
  }
  put(at + 10, ~add(at, at + 20, 0) & 0xffff)
  put(at + 26, add(at + 12, at + 20, 17 + length))
  return frame
}

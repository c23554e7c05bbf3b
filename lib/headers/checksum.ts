/**
 * The Internet checksum: RFC 1071 in full, RFC 1624 when only a part changed, and the pseudo-headers of RFC 9293 (3.1)
 * and RFC 8200 (8.1).
 *
 * A *sum* is a partial one: 16-bit words added up in one's complement, from 0 to 0xffff, not yet inverted. A *checksum*
 * is what stands in a header.
 */
import { setU16, setU32, u16, u32 } from './bytes.js'

/** Bytes from where on a DataView, looked up, beats single bytes: even at 32, some six times at 1480 (180 ns). */
const longRange = 32
/** One view of each array that a long sum went over; null where the buffer can change its size under a view. */
const views = new WeakMap<Uint8Array, DataView | null>()

function viewOf(bytes: Uint8Array): DataView | null {
  const known = views.get(bytes)
  if (known !== undefined) return known
  const { buffer, byteOffset, byteLength } = bytes
  // Of ES2024, which Node 20 has and this project's TypeScript library setting has not.
  const { resizable, growable } = buffer as { resizable?: boolean; growable?: boolean }
  const view = resizable || growable ? null : new DataView(buffer, byteOffset, byteLength)
  views.set(bytes, view)
  return view
}

/** Folds a sum of up to 48 bits into 16, carries added back in. */
function fold(sum: number): number {
  const low = sum >>> 0
  let folded = Math.floor(sum / 0x1_0000_0000) + (low >>> 16) + (low & 0xffff)
  folded = (folded >>> 16) + (folded & 0xffff)
  return (folded >>> 16) + (folded & 0xffff)
}

/**
 * The sum of bytes [from, to), an odd last byte padded with zero (RFC 1071, 4.1). What lies outside the array counts as
 * zero.
 *
 * @param initial a sum to go on from: of a pseudo-header, or of an even number of bytes before
 */
export function sum(bytes: Uint8Array, from: number, to: number, initial = 0): number {
  const begin = from > 0 ? from : 0
  const length = (to < bytes.length ? to : bytes.length) - begin
  // Both count from a constant: V8 then keeps them as plain numbers. A loop that went on from an argument would have it
  // allocate a number in each turn.
  let total = 0
  let i = 0
  if (length >= longRange) {
    const view = viewOf(bytes)
    if (view !== null) {
      // 32 bits at a time: the carries out of 16 bits are folded in the end (RFC 1071, 2(C)).
      for (; i + 16 <= length; i += 16) {
        const at = begin + i
        total +=
          view.getUint32(at) + view.getUint32(at + 4) + view.getUint32(at + 8) + view.getUint32(at + 12)
      }
    }
  }
  for (; i + 2 <= length; i += 2) total += (bytes[begin + i] << 8) | bytes[begin + i + 1]
  if (i < length) total += bytes[begin + i] << 8
  return fold(total + initial)
}

/** The checksum of a sum. */
export function finish(sum: number): number {
  return ~sum & 0xffff
}

/** The checksum of bytes [from, to). The place of the checksum itself must hold zero if it is among them. */
export function compute(bytes: Uint8Array, from: number, to: number, initial = 0): number {
  return ~sum(bytes, from, to, initial) & 0xffff
}

/** Whether bytes [from, to), the checksum among them, add up to 0xffff. */
export function verify(bytes: Uint8Array, from: number, to: number, initial = 0): boolean {
  return sum(bytes, from, to, initial) === 0xffff
}

/**
 * The checksum after a 16-bit word, or two adjacent ones as 32 bits, changed: eqn. 3 of RFC 1624. The words begin at an
 * even distance from where the checksum begins to count.
 */
export function update(checksum: number, before: number, after: number): number {
  return (
    ~fold(
      (~checksum & 0xffff) +
        (~(before >>> 16) & 0xffff) +
        (~before & 0xffff) +
        (after >>> 16) +
        (after & 0xffff),
    ) & 0xffff
  )
}

/**
 * The checksum after an even number of bytes was replaced, such as an IPv6 address: both given as sums (see
 * {@link sum}).
 */
export function updateSum(checksum: number, before: number, after: number): number {
  return ~fold((~checksum & 0xffff) + (~before & 0xffff) + after) & 0xffff
}

/** Writes 16 bits at `at` and updates the checksum that stands at `checksumAt`. For UDP see `udp.updateChecksum`. */
export function replaceU16(bytes: Uint8Array, checksumAt: number, at: number, value: number): void {
  const before = u16(bytes, at)
  setU16(bytes, at, value)
  setU16(bytes, checksumAt, update(u16(bytes, checksumAt), before, value & 0xffff))
}

/** Writes 32 bits at `at` and updates the checksum that stands at `checksumAt`. For UDP see `udp.updateChecksum`. */
export function replaceU32(bytes: Uint8Array, checksumAt: number, at: number, value: number): void {
  const before = u32(bytes, at)
  setU32(bytes, at, value)
  setU16(bytes, checksumAt, update(u16(bytes, checksumAt), before, value))
}

/**
 * The sum of the pseudo-header that TCP, UDP and ICMPv6 put before themselves. The version at `ip` says whose: addresses
 * of IPv4 (RFC 9293, 3.1), or of IPv6 (RFC 8200, 8.1; with a routing header that has segments left the destination is
 * another one than here).
 *
 * @param ip where the IP header begins
 * @param protocol of the upper layer, not the number of an extension header
 * @param length bytes of the upper layer, header and data
 */
export function pseudoHeader(bytes: Uint8Array, ip: number, protocol: number, length: number): number {
  const initial = protocol + (length >>> 16) + (length & 0xffff)
  return bytes[ip] >>> 4 === 4 ? sum(bytes, ip + 12, ip + 20, initial) : sum(bytes, ip + 8, ip + 40, initial)
}

/**
 * The sum over an upper layer and its pseudo-header.
 *
 * @param at where the upper layer begins
 * @param ip where the IP header begins
 * @param end where the upper layer ends
 */
export function upperLayer(bytes: Uint8Array, at: number, ip: number, end: number, protocol: number): number {
  return sum(bytes, at, end, pseudoHeader(bytes, ip, protocol, end - at))
}

/** Where the packet of an IP header of either version ends, by its length field. */
export function packetEnd(bytes: Uint8Array, ip: number): number {
  return bytes[ip] >>> 4 === 4 ? ip + u16(bytes, ip + 2) : ip + 40 + u16(bytes, ip + 4)
}

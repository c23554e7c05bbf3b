/**
 * Numbers in network byte order (RFC 1700, "Data Notation") in a Uint8Array.
 *
 * Single bytes rather than a DataView: a queue's memory is a Uint8Array, and a read beyond its end gives 0 instead of an
 * exception. Measured in one loop over frames: writing three fields takes 2.2 ns against a DataView's 5.6, reading seven 5.5
 * against 2.7. A DataView pays only for checksums over more than a few bytes (checksum.ts).
 */

/** 16 bits, unsigned. */
export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1]
}

/** 32 bits, unsigned. */
export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0
}

/** Writes the lower 16 bits of `value`. */
export function setU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

/** Writes the lower 32 bits of `value`. */
export function setU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/**
 * Copies a few bytes, in ascending order: right for ranges that do not overlap, and for moves towards the beginning of one
 * array. Uint8Array.set would need a view of the source.
 */
export function copy(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]
}

/** Whether a few bytes are equal. */
export function equal(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return false
  return true
}

/** Whether `length` bytes from `at` lie before `end`, and `end` within the array. False for NaN. */
export function within(bytes: Uint8Array, at: number, end: number, length: number): boolean {
  return at >= 0 && at + length <= end && end <= bytes.length
}

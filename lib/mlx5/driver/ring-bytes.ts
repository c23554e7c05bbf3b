import type { RingLayout, RingWords } from '../../ring/ring.js'
import type { DirectRing } from '../direct.js'
import type { RingBytes } from '../hot/parts.js'

/** A ring as hot code takes it. */
export function ringBytes({ bytes, view, stride, count }: DirectRing): RingBytes {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  return { words, view, countShift: Math.log2(count), strideShift: Math.log2(stride) }
}

/** All of the memory in which a ring lies, as words of this machine. */
export const memoryWords = ({ bytes }: DirectRing): RingWords => new Uint32Array(bytes.buffer)

/**
 * Where in {@link memoryWords} ring and record lie. The record is big-endian, and the only index in memory: how far the
 * device is, completions tell.
 */
export function layoutOf({ bytes, record, count }: DirectRing): RingLayout {
  const place = record.byteOffset / 4
  return { producer: place, consumer: place, records: bytes.byteOffset / 4, capacity: count }
}

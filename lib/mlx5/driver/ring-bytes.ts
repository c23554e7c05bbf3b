import type { RingLayout, RingWords } from '../../ring/ring.js'
import type { DirectRing } from '../direct-ring.js'
import type { RingBytes } from '../hot/parts.js'

/** A ring as hot code takes it. */
export function ringBytes({ bytes, view, stride, count }: DirectRing): RingBytes {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  return { words, view, countShift: Math.log2(count), strideShift: Math.log2(stride) }
}

/**
 * A ring for inspection (`PacketQueue.rings`): all of the memory in which it lies, and where ring and record lie there. The
 * record is big-endian, and the only index in memory: how far the device is, completions tell.
 */
export function placeOf({ bytes, record, count }: DirectRing): { words: RingWords; layout: RingLayout } {
  const place = record.byteOffset / 4
  const layout = { producer: place, consumer: place, records: bytes.byteOffset / 4, capacity: count }
  return { words: new Uint32Array(bytes.buffer), layout }
}

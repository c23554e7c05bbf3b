/** Frames as they were on the wire, with the VLAN tag that the kernel stripped. */
import { setU32 } from '../headers/bytes.js'
import type { PacketQueue } from './packet-queue.js'

/** Bytes of a tag, and its place: after the two addresses (IEEE 802.1Q, 9.3). */
const tagLength = 4
const tagOffset = 12

/** Bytes that a received frame had on the wire. */
export function wireLength(queue: PacketQueue, slot: number): number {
  return queue.originalLength(slot) + (queue.vlan(slot) === 0 ? 0 : tagLength)
}

/** A copy of a received frame with its tag put back; unlike a slot, it always has room for the tag. */
export function copyFrame(queue: PacketQueue, slot: number): Uint8Array {
  const from = queue.offset(slot)
  const frame = queue.memory.subarray(from, from + queue.length(slot))
  const tag = queue.vlan(slot)
  if (tag === 0) return Buffer.from(frame)
  const copy = Buffer.allocUnsafe(frame.length + tagLength)
  copy.set(frame.subarray(0, tagOffset))
  setU32(copy, tagOffset, tag)
  copy.set(frame.subarray(tagOffset), tagOffset + tagLength)
  return copy
}

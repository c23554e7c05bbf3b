/** Frames as they were on the wire, where the kernel has taken a VLAN tag out. */
import { setU32 } from './headers/bytes.js'
import type { PacketQueue } from './packet-queue.js'

/** Bytes of a tag, and where it stands: behind the two addresses (IEEE 802.1Q, 9.3). */
const tagLength = 4
const tagOffset = 12

/** Bytes that a received frame had on the wire. */
export function wireLength(queue: PacketQueue, slot: number): number {
  return queue.originalLength(slot) + (queue.vlan(slot) === 0 ? 0 : tagLength)
}

/** The bytes there are of a received frame, copied, its tag put back. */
export function copyFrame(queue: PacketQueue, slot: number): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(queue.length(slot) + (queue.vlan(slot) === 0 ? 0 : tagLength))
  copyFrameTo(queue, slot, copy)
  return copy
}

/** Like {@link copyFrame}, into memory that has room for it; gives the length. */
export function copyFrameTo(queue: PacketQueue, slot: number, target: Uint8Array): number {
  const from = queue.offset(slot)
  const length = queue.length(slot)
  const tag = queue.vlan(slot)
  if (tag === 0) {
    target.set(queue.memory.subarray(from, from + length))
    return length
  }
  target.set(queue.memory.subarray(from, from + tagOffset))
  setU32(target, tagOffset, tag)
  target.set(queue.memory.subarray(from + tagOffset, from + length), tagOffset + tagLength)
  return length + tagLength
}

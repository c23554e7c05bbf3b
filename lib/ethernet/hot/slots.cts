import type { SlotCalls, SlotParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * A queue's calls by slot, one copy a queue (lib/hot/own-copy.ts). Each checks that the slot is the caller's, as
 * SlotPool.index() does: the frame's word is the slot's number with the owner in the index's place.
 */
export = function slotCalls(parts: SlotParts): SlotCalls {
  const { closed, refuseClosed, isInt32Array, fail } = parts
  const { records } = parts.table
  const { words: owners, stack, state: pool, indexMask, member } = parts.table.slots
  const { slots: batchSlots, count: batchCount } = parts.batch
  const { height: heightAt, limit: limitAt } = parts.PoolState
  const { offset: offsetAt, length: lengthAt, flags: flagsAt } = parts.FrameRecord
  const recordShift = Math.log2(parts.FrameRecord.words) | 0
  /** A free frame on this thread's stack is owned by member + 1. */
  const toFree = member ^ (member + 1)

  function indexOf(slot: number): number {
    if (typeof slot !== 'number') fail.slot(slot)
    const index = slot & indexMask
    if ((owners[index] ^ member ^ index) !== slot) fail.slot(slot)
    return index
  }

  function slot(i: number): number {
    return i >= 0 && i < batchCount[0] && (i | 0) === i ? batchSlots[i] : fail.batchIndex(i, batchCount[0])
  }

  function offset(slot: number): number {
    return records[(indexOf(slot) << recordShift) | offsetAt]
  }

  function length(slot: number): number {
    return records[(indexOf(slot) << recordShift) | lengthAt]
  }

  function flags(slot: number): number {
    return records[(indexOf(slot) << recordShift) | flagsAt] & 0xff
  }

  function release(slot: number): void {
    if (closed[0] !== 0) refuseClosed()
    const index = indexOf(slot)
    owners[index] ^= toFree
    const height = pool[heightAt]
    stack[height] = index
    pool[heightAt] = height + 1
    if (height >= pool[limitAt]) fail.spill()
  }

  function releaseMany(slots: Int32Array, count: number): void {
    if (closed[0] !== 0) refuseClosed()
    if (!isInt32Array(slots) || typeof count !== 'number') fail.column(slots, count)
    if ((count | 0) !== count || count < 0 || count > slots.length) fail.column(slots, count)
    let height = pool[heightAt]
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const slot = slots[i]
      const index = slot & indexMask
      const word = owners[index]
      if ((word ^ member ^ index) !== slot) {
        pool[heightAt] = height
        fail.slot(slot)
      }
      owners[index] = word ^ toFree
      stack[height] = index
      height = (height + 1) | 0
    }
    pool[heightAt] = height
    if (height > pool[limitAt]) fail.spill()
  }

  return { slot, offset, length, flags, release, releaseMany }
}

import type { TransmitCalls, TransmitParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The transmitting half of a queue, as far as it is hot, one copy a queue (lib/hot/own-copy.ts): frames that fit into
 * one of the device's buffers and find room in the ring, and a doorbell after which the device has taken them all.
 * Transmitter does all else.
 */
export = function transmitCalls(parts: TransmitParts): TransmitCalls {
  const {
    closed,
    refuseClosed,
    isInt32Array,
    isUint32Array,
    attention,
    link,
    state,
    transmitted,
    outcome,
    holder,
    transmitter,
  } = parts
  const { records, shift, frameSize, headroom } = parts.table
  const { words: owners, stack, state: pool, indexMask, member } = parts.table.slots
  const { longest } = parts.port
  const { index: pushedIndex, push: pushDescriptor, publish, allTaken, room } = parts.ring
  const { available, at: recordAt, address, consume } = parts.completion
  const { ring, mailbox } = parts.bell
  const { height: heightAt, limit: limitAt } = parts.PoolState
  const { room: roomAt, taken: takenAt, slow: slowAt, submits: submitsAt } = parts.TransmitState
  const { offset: offsetAt, length: lengthAt, flags: flagsAt, vlan: vlanAt } = parts.FrameRecord
  const recordShift = Math.log2(parts.FrameRecord.words) | 0
  const { brief, unfinished, generationMask, headerBytes, submitsBetweenLooks } = parts
  const step = indexMask + 1
  const frameMask = frameSize - 1
  const free = member + 1
  const toHolder = member ^ holder
  const toFree = holder ^ free

  function claim(): number {
    if (closed[0] !== 0) refuseClosed()
    let height = (pool[heightAt] - 1) | 0
    if (height < 0) {
      if (!transmitter.reclaim()) return -1
      height = (pool[heightAt] - 1) | 0
    }
    pool[heightAt] = height
    const index = stack[height]
    const generation = ((owners[index] ^ free) + step) & generationMask
    owners[index] = generation | member
    const record = index << recordShift
    records[record | offsetAt] = ((index << shift) + headroom) | 0
    records[record | lengthAt] = 0
    records[record | flagsAt] = brief
    return generation | index
  }

  /** Whether a column of slots has so many. */
  function fits(slots: Int32Array, count: number): boolean {
    if (!isInt32Array(slots) || typeof count !== 'number') return false
    return (count | 0) === count && count >= 0 && count <= slots.length
  }

  function claimMany(slots: Int32Array, offsets: Uint32Array, count: number): number {
    if (closed[0] !== 0) refuseClosed()
    if (!fits(slots, count) || !isUint32Array(offsets) || count > offsets.length) {
      transmitter.badColumn(slots, count, 'offsets', offsets)
    }
    let height = pool[heightAt]
    let i = 0
    for (; i < count; i = (i + 1) | 0) {
      if (height === 0) {
        pool[heightAt] = 0
        if (!transmitter.reclaim()) break
        height = pool[heightAt]
      }
      height = (height - 1) | 0
      const index = stack[height]
      const generation = ((owners[index] ^ free) + step) & generationMask
      owners[index] = generation | member
      const record = index << recordShift
      const offset = ((index << shift) + headroom) | 0
      records[record | offsetAt] = offset
      records[record | lengthAt] = 0
      records[record | flagsAt] = brief
      slots[i] = generation | index
      offsets[i] = offset
    }
    pool[heightAt] = height
    return i
  }

  /** Puts a frame of the caller into the ring; it becomes the queue's. */
  function push(index: number, from: number, length: number): void {
    owners[index] ^= toHolder
    const left = state[roomAt]
    if (left > 0 && length <= longest[0]) {
      state[roomAt] = left - 1
      // The error that refuses the frame names its length.
      records[(index << recordShift) | lengthAt] = length
      pushDescriptor(from, length)
    } else {
      transmitter.stage(index, length)
    }
    outcome.pending = (outcome.pending + 1) | 0
  }

  function send(slot: number, length: number, offset?: number): void {
    if (closed[0] !== 0) refuseClosed()
    if (offset !== undefined) transmitter.move(slot, offset)
    if (typeof slot !== 'number') transmitter.badSlot(slot)
    const index = slot & indexMask
    if ((owners[index] ^ member ^ index) !== slot) transmitter.badSlot(slot)
    const from = records[(index << recordShift) | offsetAt] | 0
    if (
      typeof length !== 'number' ||
      (length | 0) !== length ||
      length < headerBytes ||
      length > ((frameSize - (from & frameMask)) | 0)
    ) {
      transmitter.badLength(slot, length)
    }
    push(index, from, length)
  }

  function sendMany(slots: Int32Array, lengths: Uint32Array, count: number): void {
    if (closed[0] !== 0) refuseClosed()
    if (!fits(slots, count) || !isUint32Array(lengths) || count > lengths.length) {
      transmitter.badColumn(slots, count, 'lengths', lengths)
    }
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const slot = slots[i]
      const index = slot & indexMask
      if ((owners[index] ^ member ^ index) !== slot) transmitter.badSlot(slot)
      const from = records[(index << recordShift) | offsetAt] | 0
      const length = lengths[i] | 0
      if (length < headerBytes || length > ((frameSize - (from & frameMask)) | 0)) {
        transmitter.badLength(slot, lengths[i])
      }
      push(index, from, length)
    }
  }

  /** Sends a received frame; the caller has checked that the queue is open. */
  function pass(slot: number): void {
    const index = slot & indexMask
    if ((owners[index] ^ member ^ index) !== slot) transmitter.badSlot(slot)
    const record = index << recordShift
    const flags = records[record | flagsAt]
    if ((flags & brief) === 0 && ((flags & unfinished) !== 0 || records[record | vlanAt] !== 0)) {
      transmitter.forward(slot)
      return
    }
    const from = records[record | offsetAt] | 0
    const length = records[record | lengthAt] | 0
    if (length < headerBytes || length > ((frameSize - (from & frameMask)) | 0)) {
      transmitter.badLength(slot, records[record | lengthAt])
    }
    push(index, from, length)
  }

  function forward(slot: number): void {
    if (closed[0] !== 0) refuseClosed()
    if (typeof slot !== 'number') transmitter.badSlot(slot)
    pass(slot)
  }

  function forwardMany(slots: Int32Array, count: number): void {
    if (closed[0] !== 0) refuseClosed()
    if (!fits(slots, count)) transmitter.badColumn(slots, count)
    for (let i = 0; i < count; i = (i + 1) | 0) pass(slots[i])
  }

  /** Frees the next frames that the device is done with. */
  function recover(count: number): void {
    let height = pool[heightAt]
    let invalid = 0
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const index = address(recordAt(i)) >>> shift
      // An invalid index reads 0, a word that no holder owns.
      const word = index <= indexMask ? owners[index] : 0
      if ((word & indexMask) === holder) {
        owners[index] = word ^ toFree
        stack[height] = index
        height = (height + 1) | 0
      } else {
        invalid = (invalid + 1) | 0
      }
    }
    pool[heightAt] = height
    consume(count)
    if (invalid > 0) transmitter.countInvalid(invalid)
    if (height > pool[limitAt]) transmitter.spill()
  }

  function submit(): number {
    if (closed[0] !== 0) refuseClosed()
    const next = pushedIndex()
    const pushed = (next - state[takenAt]) | 0
    const submits = state[submitsAt]
    state[submitsAt] = submits + 1
    if (submits >= submitsBetweenLooks) transmitter.look()
    if (pushed === 0 || state[slowAt] !== 0 || link[0] !== 0 || attention[0] !== 0)
      return transmitter.submit()
    outcome.error = null
    publish()
    ring()
    if (mailbox[0] !== 0 || !allTaken()) return transmitter.kicked(mailbox[0])
    const done = available()
    // A completion that failed sets it: its frames were not sent.
    if (attention[0] !== 0) return transmitter.kicked(0)
    state[takenAt] = next
    transmitted[0] += pushed
    if (done > 0) recover(done)
    state[roomAt] = room()
    outcome.pending = 0
    return pushed
  }

  return { claim, claimMany, send, sendMany, forward, forwardMany, submit }
}

import type { ReceiveCalls, ReceiveParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The receiving half of a queue, as far as it is hot, one copy a queue (lib/hot/own-copy.ts). It takes frames that lie
 * in one descriptor each, and knows from two words of shared memory that there are none; Receiver does all else.
 */
export = function receiveCalls(parts: ReceiveParts): ReceiveCalls {
  const {
    closed,
    refuseClosed,
    attention,
    link,
    state,
    received,
    target,
    scarce,
    framesPerBuffer,
    describes,
    detailed,
    holder,
    receiver,
  } = parts
  const { records, shift, frameSize } = parts.table
  const { words: owners, stack, state: pool, indexMask, member, count: frames } = parts.table.slots
  const { slots, offsets, lengths, flags, count: batchCount } = parts.batch
  const { available, at: recordAt, address, length: lengthOf, more, flags: flagsOf, consume } = parts.ring
  const { pushAddress, publish } = parts.fill
  const most = slots.length
  const { hint, receiveBell: bell, replenish } = parts.port
  const hinted = hint !== undefined
  const { words: hintWords, at: hintAt, bits: hintBits } = hint ?? { words: records, at: state, bits: 0 }
  const hintCell = hint?.cell ?? 0
  const ring = bell?.ring
  const box = bell?.mailbox ?? state
  const { height: heightAt, limit: limitAt } = parts.PoolState
  const { filled: filledAt, used: usedAt, copying: copyingAt } = parts.ReceiveState
  const { offset: offsetAt, length: lengthAt, flags: flagsAt } = parts.FrameRecord
  const recordShift = Math.log2(parts.FrameRecord.words) | 0
  const { brief, generationMask, gone } = parts
  const step = indexMask + 1
  const frameMask = frameSize - 1
  const lent = (member + 1) ^ holder
  /** With fewer frames at the device, an empty look refills: whole buffers come together when a quarter is missing. */
  const enough = framesPerBuffer > 1 ? target - (target >> 2) : target
  /** Empty looks in a row that need no call. */
  const quietLooks = 255
  let looks = 0

  /** Moves free frames into the fill ring. */
  function refill(): void {
    if (framesPerBuffer > 1) {
      receiver.refill()
      return
    }
    let filled = state[filledAt]
    let height = pool[heightAt]
    if (filled < target && height > 0) {
      do {
        height = (height - 1) | 0
        const index = stack[height]
        owners[index] ^= lent
        pushAddress(index << shift)
        filled = (filled + 1) | 0
      } while (filled < target && height > 0)
      pool[heightAt] = height
      state[filledAt] = filled
      publish()
    }
    // Other threads may have free frames.
    if (filled < target && pool[limitAt] !== frames) receiver.refill()
  }

  /** Descriptors in the receive ring, which looked empty. */
  function look(): number {
    if (attention[0] === 0 && (link[0] & gone) === 0) {
      if (hinted && (hintWords[hintAt[hintCell]] & hintBits) === 0) {
        // A plain load may not leave a loop for ever: now and then the call is made, and looks with Atomics.
        looks = (looks + 1) & quietLooks
        if (looks !== 0 && state[filledAt] >= enough) return 0
      } else if (ring !== undefined) {
        if (state[filledAt] < enough) refill()
        ring()
        return box[0] > 0 ? box[0] : receiver.polled(box[0])
      }
    }
    return receiver.look()
  }

  /** Takes frames from `ready` descriptors into the batch from `first` on; returns how many. */
  function takeFrom(ready: number, first: number): number {
    const room = (most - first) | 0
    const some = ready < room ? ready : room
    // Frames that are copied out of their buffers are the class's.
    const usual = framesPerBuffer > 1 && state[copyingAt] !== 0 ? 0 : some
    let used = 0
    for (; used < usual; used = (used + 1) | 0) {
      const at = recordAt(used)
      const offset = address(at)
      const index = offset >>> shift
      // An invalid index reads 0, a word that no holder owns.
      const word = index <= indexMask ? owners[index] : 0
      if ((word & indexMask) !== holder) break
      let told = 0
      if (!describes) {
        told = lengthOf(at)
        // Within the frame's place, whatever the ring contains.
        if (detailed || told <= 0 || told > ((frameSize - (offset & frameMask)) | 0) || more(at)) break
      }
      const generation = ((word ^ holder) + step) & generationMask
      owners[index] = generation | member
      const i = (first + used) | 0
      slots[i] = generation | index
      const record = index << recordShift
      if (describes) {
        offsets[i] = records[record | offsetAt]
        lengths[i] = records[record | lengthAt]
        flags[i] = records[record | flagsAt]
      } else {
        const extra = flagsOf(at)
        records[record | offsetAt] = offset
        records[record | lengthAt] = told
        records[record | flagsAt] = brief | extra
        offsets[i] = offset
        lengths[i] = told
        flags[i] = extra
      }
    }
    let count = (first + used) | 0
    if (used < some) {
      count = receiver.rest(count, used, ready)
      used = state[usedAt]
    }
    consume(used)
    const left = (state[filledAt] - used) | 0
    state[filledAt] = left > 0 ? left : 0
    const taken = (count - first) | 0
    received[0] += taken
    // A frame that arrives while the device has no free buffer is lost.
    if (left < scarce) {
      const before = state[filledAt]
      // The receiver tells frames of this batch from kept ones.
      if (framesPerBuffer > 1) batchCount[0] = count
      refill()
      if (replenish !== undefined && state[filledAt] !== before) receiver.replenish()
    }
    return taken
  }

  function take(first: number): number {
    const ready = available() || look()
    return ready > 0 ? takeFrom(ready, first) : 0
  }

  function receive(): number {
    if (closed[0] !== 0) refuseClosed()
    let ready = available()
    if (ready === 0) {
      batchCount[0] = 0
      ready = look()
      if (ready === 0) return 0
    }
    const count = takeFrom(ready, 0)
    batchCount[0] = count
    return count
  }

  return { take, receive }
}

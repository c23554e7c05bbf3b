import type { HotCompletions, ReceiveCompletionParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a receive queue's completion queue that reads received frames, one copy a queue (lib/hot/own-copy.ts). A record
 * is an entry, named by its number, which is also its request's: a receive queue completes in order.
 */
export = function receiveCompletions(parts: ReceiveCompletionParts): HotCompletions {
  const { plain, position, setConsumerIndex, state, posted, most, checksumValid, failed } = parts
  const { words, view, countShift, strideShift } = parts.ring
  const { opcodeShift, ownerBit, received, invalid, completedBytes, goodChecks } = parts.fields
  const { known: knownAt } = parts.ReceiveState
  const entryMask = (1 << countShift) - 1
  const requestMask = posted.length - 1
  /** An entry of 128 bytes has the one of 64 in its second half. */
  const start = (1 << strideShift) - 64
  const wordShift = strideShift - 2
  const ownerWord = (start + parts.fields.ownerWord) >> 2
  const checksWord = (start + parts.fields.checksWord) >> 2
  const lengthByte = start + completedBytes
  /** Opcode and owner bit of an entry that tells of a frame. */
  const told = (15 << opcodeShift) | (1 << ownerBit)
  const frame = received << opcodeShift

  /** Whether an entry that tells of no frame is there: then a request has failed. */
  function odd(index: number, word: number): void {
    const opcode = word >>> opcodeShift
    if (((word >>> ownerBit) & 1) !== ((index >>> countShift) & 1) || opcode === invalid) return
    failed(((index & entryMask) << strideShift) + start)
  }

  function available(): number {
    let known = state[knownAt]
    let index = (position[0] + known) | 0
    while (known < most) {
      const at = ((index & entryMask) << wordShift) + ownerWord
      const word = plain ? words[at] : Atomics.load(words, at)
      if ((word & told) !== (frame | (((index >>> countShift) & 1) << ownerBit))) {
        odd(index, word)
        break
      }
      known = (known + 1) | 0
      index = (index + 1) | 0
    }
    state[knownAt] = known
    return known
  }

  function at(ahead: number): number {
    return (position[0] + ahead) | 0
  }

  function address(at: number): number {
    return posted[at & requestMask]
  }

  function length(at: number): number {
    return view.getInt32(((at & entryMask) << strideShift) + lengthByte)
  }

  function more(): boolean {
    return false
  }

  function flags(at: number): number {
    return (words[((at & entryMask) << wordShift) + checksWord] & goodChecks) === goodChecks
      ? checksumValid
      : 0
  }

  function consume(count: number): void {
    const index = (position[0] + count) | 0
    position[0] = index
    state[knownAt] = state[knownAt] - count
    setConsumerIndex(index)
  }

  return { available, at, address, length, more, flags, consume }
}

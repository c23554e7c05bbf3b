import type { HotConsumer } from '../../ring/hot/parts.js' with { 'resolution-mode': 'import' }
import type { ReceiveCompletionParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a receive queue's completion queue that reads received frames, one copy a queue (lib/hot/own-copy.ts). A record
 * is a frame, named by its number, which is also its request's: a receive queue completes in order. Each has an entry, but
 * for compressed ones: there one entry, the title, stands for several frames, and others among theirs hold eight mini
 * completions each (mlx5e_decompress_cqes_start and _cont, Linux: en_rx.c).
 */
export = function receiveCompletions(parts: ReceiveCompletionParts): HotConsumer {
  const { plain, position, setConsumerIndex, state, posted, told, most, checksumValid, failed } = parts
  const { words, view, countShift, strideShift } = parts.ring
  const { opcodeShift, formatShift, ownerBit, received, invalid, compressed, goodChecks } = parts.fields
  const { entries, entryMask, start, wordShift, ownerWord, checksWord, lengthByte, kind, frame } =
    parts.places
  const { known: knownAt } = parts.ReceiveState
  const requestMask = posted.length - 1
  /** In `told`: bytes of the frame; above them its flags. */
  const lengthMask = 0xffffff
  const flagsShift = 24

  function flagsOf(index: number): number {
    return (words[((index & entryMask) << wordShift) + checksWord] & goodChecks) === goodChecks
      ? checksumValid << flagsShift
      : 0
  }

  /** Of a number in its lap: whether the owner bit of an entry that is there is set. */
  function owner(index: number): number {
    return ((index >>> countShift) & 1) << ownerBit
  }

  /** Reads an entry that does not tell of one frame; returns of how many it does. */
  function odd(index: number, word: number): number {
    const opcode = word >>> opcodeShift
    if ((word & (1 << ownerBit)) !== owner(index) || opcode === invalid) return 0
    if (opcode === received && ((word >>> formatShift) & 3) === compressed) {
      const count = view.getInt32(((index & entryMask) << strideShift) + lengthByte)
      if (count > 0 && count <= entries) return expand(index, count)
    }
    failed(((index & entryMask) << strideShift) + start)
    return 0
  }

  /** Reads a session's mini completions: the first eight lie behind the title, the next eight entries behind it, and so on. */
  function expand(index: number, count: number): number {
    const flags = flagsOf(index)
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const holder = index + (i < 8 ? 1 : i & ~7)
      const mini = ((holder & entryMask) << strideShift) + start + ((i & 7) << 3)
      told[(index + i) & entryMask] = (view.getInt32(mini + 4) & lengthMask) | flags
    }
    // What lies in these entries is no completion, in the next but one lap neither, when its owner bit would fit again.
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const covered = (index + i) | 0
      words[((covered & entryMask) << wordShift) + ownerWord] = (invalid << opcodeShift) | owner(covered)
    }
    return count
  }

  function available(): number {
    let known = state[knownAt]
    let index = (position[0] + known) | 0
    while (known < most) {
      const entry = index & entryMask
      const word = plain
        ? words[(entry << wordShift) + ownerWord]
        : Atomics.load(words, (entry << wordShift) + ownerWord)
      let frames = 1
      if ((word & kind) === (frame | owner(index))) {
        told[entry] = (view.getInt32((entry << strideShift) + lengthByte) & lengthMask) | flagsOf(index)
      } else {
        frames = odd(index, word)
        if (frames === 0) break
      }
      known = (known + frames) | 0
      index = (index + frames) | 0
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
    return told[at & entryMask] & lengthMask
  }

  function more(): boolean {
    return false
  }

  function flags(at: number): number {
    return told[at & entryMask] >>> flagsShift
  }

  function consume(count: number): void {
    const index = (position[0] + count) | 0
    position[0] = index
    state[knownAt] = state[knownAt] - count
    setConsumerIndex(index)
  }

  return { available, at, address, length, more, flags, consume }
}

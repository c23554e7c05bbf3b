import type { HotConsumer } from '../../ring/hot/parts.js' with { 'resolution-mode': 'import' }
import type { StridingCompletionParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a striding receive queue's completion queue that reads received frames, one copy a queue
 * (lib/hot/own-copy.ts). A record is a stride, named by its number: the buffers are used in order, and each from its first
 * stride on. An entry tells of one frame: the stride that it begins with, how many it takes, and its bytes; or that the rest
 * of the buffer is passed over (Linux: en_rx.c, mlx5e_handle_rx_cqe_mpwrq; DPDK: mlx5_rx.c, mlx5_rx_burst_mprq). A record is
 * of length 0 where no frame begins in its stride.
 */
export = function stridingCompletions(parts: StridingCompletionParts): HotConsumer {
  const { plain, position, setConsumerIndex, state, posted, told, entryOf, most, checksumValid, failed } =
    parts
  const { words, view, countShift, strideShift } = parts.ring
  const { opcodeShift, formatShift, ownerBit, received, invalid, compressed, goodChecks } = parts.fields
  const { entries, entryMask, start, wordShift, ownerWord, checksWord, lengthByte, kind, frame } =
    parts.places
  const { known: knownAt, read: readAt } = parts.StridingState
  const { stridesShift, strideBytesShift, miniStride } = parts
  const requestMask = posted.length - 1
  const placeMask = told.length - 1
  const strides = 1 << stridesShift
  const strideMask = strides - 1
  /** In `told`: bytes of the frame; above them its flags. */
  const lengthMask = 0xffff
  const flagsShift = 16

  function flagsOf(index: number): number {
    return (words[((index & entryMask) << wordShift) + checksWord] & goodChecks) === goodChecks
      ? checksumValid << flagsShift
      : 0
  }

  /** Of a number in its lap: whether the owner bit of an entry that is there is set. */
  function owner(index: number): number {
    return ((index >>> countShift) & 1) << ownerBit
  }

  /** wqe_counter: the stride that a frame begins with. */
  function strideOf(word: number): number {
    return ((word & 0xff) << 8) | ((word >>> 8) & 0xff)
  }

  /**
   * Takes what an entry says (struct mpwrq_cqe_bc: filler, strides, bytes) for the next strides; false if it cannot be
   * true, and then nothing.
   */
  function take(stride: number, bytes: number, flags: number, index: number): boolean {
    const next = (position[0] + state[knownAt]) | 0
    const used = (bytes >>> 16) & 0x7fff
    if (used === 0 || stride !== (next & strideMask) || used > strides - stride) return false
    // Never true of what was posted.
    if (used > placeMask + 1 - state[knownAt]) return false
    told[next & placeMask] = bytes < 0 ? 0 : (bytes & lengthMask) | flags
    entryOf[next & placeMask] = index
    for (let i = 1; i < used; i = (i + 1) | 0) told[(next + i) & placeMask] = 0
    state[knownAt] = state[knownAt] + used
    return true
  }

  /** Reads an entry that does not tell of one frame; false if there is none to go on behind. */
  function odd(index: number, word: number): boolean {
    const opcode = word >>> opcodeShift
    if ((word & (1 << ownerBit)) !== owner(index) || opcode === invalid) return false
    if (opcode === received && ((word >>> formatShift) & 3) === compressed) {
      const count = view.getInt32(((index & entryMask) << strideShift) + lengthByte)
      if (count > 0 && count <= entries && expand(index, count, strideOf(word))) return true
    }
    failed(((index & entryMask) << strideShift) + start)
    return false
  }

  /**
   * Reads a session's mini completions: the first eight lie behind the title, the next eight entries behind it, and so on. In
   * the format with stride index each tells its stride; in the others it is the one behind the last.
   */
  function expand(index: number, count: number, first: number): boolean {
    const flags = flagsOf(index)
    const before = state[knownAt]
    let good = true
    let stride = first
    for (let i = 0; i < count && good; i = (i + 1) | 0) {
      const holder = index + (i < 8 ? 1 : i & ~7)
      const mini = ((holder & entryMask) << strideShift) + start + ((i & 7) << 3)
      const bytes = view.getInt32(mini + 4)
      if (miniStride) stride = view.getUint16(mini + 2)
      good = take(stride, bytes, flags, index)
      stride = (stride + ((bytes >>> 16) & 0x7fff)) & strideMask
    }
    if (!good) {
      state[knownAt] = before
      return false
    }
    // What lies in these entries is no completion, in the next but one lap neither, when its owner bit would fit again.
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const covered = (index + i) | 0
      words[((covered & entryMask) << wordShift) + ownerWord] = (invalid << opcodeShift) | owner(covered)
    }
    state[readAt] = (index + count) | 0
    return true
  }

  function available(): number {
    while (state[knownAt] < most) {
      const index = state[readAt]
      const entry = index & entryMask
      const word = plain
        ? words[(entry << wordShift) + ownerWord]
        : Atomics.load(words, (entry << wordShift) + ownerWord)
      if ((word & kind) === (frame | owner(index))) {
        if (
          !take(strideOf(word), view.getInt32((entry << strideShift) + lengthByte), flagsOf(index), index)
        ) {
          failed((entry << strideShift) + start)
          break
        }
        state[readAt] = (index + 1) | 0
      } else if (!odd(index, word)) {
        break
      }
    }
    return state[knownAt]
  }

  function at(ahead: number): number {
    return (position[0] + ahead) | 0
  }

  function address(at: number): number {
    return (posted[(at >>> stridesShift) & requestMask] + ((at & strideMask) << strideBytesShift)) | 0
  }

  function length(at: number): number {
    return told[at & placeMask] & lengthMask
  }

  function more(): boolean {
    return false
  }

  function flags(at: number): number {
    return told[at & placeMask] >>> flagsShift
  }

  function consume(count: number): void {
    position[0] = (position[0] + count) | 0
    state[knownAt] = state[knownAt] - count
    setConsumerIndex(state[readAt])
  }

  return { available, at, address, length, more, flags, consume }
}

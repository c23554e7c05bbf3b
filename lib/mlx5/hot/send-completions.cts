import type { HotConsumer } from '../../ring/hot/parts.js' with { 'resolution-mode': 'import' }
import type { SendCompletionParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a send queue's completion queue that reads which frames are sent, one copy a queue (lib/hot/own-copy.ts). A
 * record is a frame, named by its number; an entry of the queue stands for all frames up to its request's last.
 */
export = function sendCompletions(parts: SendCompletionParts): HotConsumer {
  const { plain, position, state, mailbox, sent, framesAt, blockBehind, setConsumerIndex, failed } = parts
  const { words, countShift, strideShift } = parts.ring
  const { ownerWord, ownerBit, opcodeShift, requester, invalid } = parts.fields
  const {
    published: publishedAt,
    freed: freedAt,
    completed: completedAt,
    entries: entriesAt,
  } = parts.SendState
  const { completed: completedBlockAt } = parts.SendMailbox
  const entryMask = (1 << countShift) - 1
  /** An entry of 128 bytes has the one of 64 in its second half. */
  const start = (1 << strideShift) - 64
  const wordInEntry = (start + ownerWord) >> 2
  const blockMask = framesAt.length - 1
  const sentMask = sent.length - 1

  function available(): number {
    let index = state[entriesAt]
    for (;;) {
      const entry = (index & entryMask) << (strideShift - 2)
      const word = plain ? words[entry + wordInEntry] : Atomics.load(words, entry + wordInEntry)
      const opcode = word >>> opcodeShift
      if (((word >>> ownerBit) & 1) !== ((index >>> countShift) & 1) || opcode === invalid) break
      const block = (((word & 0xff) << 8) | ((word >>> 8) & 0xff)) & blockMask
      const frames = framesAt[block]
      if (opcode !== requester) failed((entry << 2) + start, state[completedAt])
      // What a stray entry names was completed before, or never sent.
      if (((state[publishedAt] - frames) | 0) >= 0 && ((frames - state[completedAt]) | 0) > 0) {
        state[completedAt] = frames
        state[freedAt] = blockBehind[block]
        mailbox[completedBlockAt] = blockBehind[block] & 0xffff
      }
      index = (index + 1) | 0
      state[entriesAt] = index
    }
    return (state[completedAt] - position[0]) | 0
  }

  function at(ahead: number): number {
    return (position[0] + ahead) | 0
  }

  function address(at: number): number {
    return sent[at & sentMask] | 0
  }

  function none(): number {
    return 0
  }

  function more(): boolean {
    return false
  }

  function consume(count: number): void {
    position[0] = (position[0] + count) | 0
    setConsumerIndex(state[entriesAt])
  }

  return { available, at, address, length: none, more, flags: none, consume }
}

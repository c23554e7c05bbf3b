import type { MessageReceiveParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a receive queue that makes requests out of records, one copy a queue pair (lib/hot/own-copy.ts): a data
 * segment for each element, and one with an invalid key that ends a list shorter than the queue's (providers/mlx5/qp.c,
 * mlx5_post_recv).
 */
export = function messageReceives(parts: MessageReceiveParts): () => number {
  const { state, control, cookies, setProducerIndex, refuse, find, table, sizes } = parts
  const { maxElements, longest, depth } = parts
  const {
    words: records,
    producer: producerAt,
    consumer: consumerAt,
    first: firstRecord,
    shift,
  } = parts.records
  const recordMask = parts.records.mask
  const { words, view, countShift, strideShift } = parts.ring
  const { head: headAt, cookie: cookieWord, elements: elementsAt } = parts.Receive
  const {
    key: keyAt,
    writable: writableAt,
    addressLow: lowAt,
    addressHigh: highAt,
    words: lineWords,
  } = parts.RegionLine
  const { EINVAL } = parts.errno
  const { Refusal, invalidKey } = parts
  const { receiveOutstanding } = parts.Control
  const { device, posted, received } = parts.MessageState
  const mask = (1 << countShift) - 1
  const lineShift = 31 - Math.clz32(lineWords)

  function no(record: number, reason: number, detail: number): number {
    refuse(EINVAL, reason, detail, records[record + cookieWord], 1)
    return 0
  }

  /** Makes the request of a record: 1, or 0 when it is refused. */
  function write(record: number): number {
    const count = records[record + headAt]
    if (count > maxElements) return no(record, Refusal.tooManyElements, count)
    const index = state[posted]
    const start = (index & mask) << strideShift
    let at = start
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const element = record + elementsAt + (i << 2)
      const line = find(records[element])
      if (line < 0) return no(record, Refusal.staleRegion, i)
      if (table[line + writableAt] === 0) return no(record, Refusal.notWritable, i)
      const low = records[element + 1]
      const high = records[element + 2]
      const length = records[element + 3]
      if (low + high * 0x100000000 + length > sizes[line >> lineShift])
        return no(record, Refusal.outOfBounds, i)
      if (length === 0) continue
      const address = (table[line + lowAt] >>> 0) + low
      // No message is longer, and bit 31 would say that the data follow.
      view.setInt32(at, length < longest ? length : longest)
      words[(at + 4) >> 2] = table[line + keyAt]
      view.setInt32(at + 8, table[line + highAt] + high + (address > 0xffffffff ? 1 : 0))
      view.setInt32(at + 12, address)
      at = (at + 16) | 0
    }
    if (at - start < 1 << strideShift) {
      words[at >> 2] = 0
      words[(at + 4) >> 2] = invalidKey
      words[(at + 8) >> 2] = 0
      words[(at + 12) >> 2] = 0
    }
    cookies[index & mask] = records[record + cookieWord]
    state[posted] = (index + 1) | 0
    return 1
  }

  return function post(): number {
    const first = records[consumerAt]
    const there = (records[producerAt] - first) >>> 0
    if (there === 0) return 0
    if (state[device] === 0) {
      no(firstRecord + ((first & recordMask) << shift), Refusal.wrongState, 0)
      return 0
    }
    const outstanding = (state[posted] - state[received]) | 0
    const most = there < depth - outstanding ? there : depth - outstanding
    let taken = 0
    let refused = 0
    while (taken < most) {
      if (write(firstRecord + (((first + taken) & recordMask) << shift)) === 0) {
        refused = 1
        break
      }
      taken = (taken + 1) | 0
    }
    records[consumerAt] = first + taken + refused
    if (taken === 0) return 0
    control[receiveOutstanding] = outstanding + taken
    setProducerIndex(state[posted])
    return taken
  }
}

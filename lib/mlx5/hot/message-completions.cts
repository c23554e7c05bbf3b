import type { MessageCompletionParts, MessagePair } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * A completion queue's poll where this package reads its ring, one copy a queue (lib/hot/own-copy.ts): what libmlx5's
 * does (providers/mlx5/cq.c, mlx5_parse_cqe) with the entries, and the binding with the requests that they are of.
 */
export = function messageCompletions(parts: MessageCompletionParts) {
  const { plain, mailbox, columns, batch, closed, pairOf, setConsumerIndex, statusOf } = parts
  const { words, view, countShift, strideShift } = parts.ring
  const { opcodeShift, ownerBit, invalid, requester, requesterError, responderError, receivedImmediate } =
    parts.fields
  const { receivedWriteImmediate, receivedInvalidate, ownerWord } = parts.fields
  const { consumer: consumerAt, gone: goneAt } = parts.ArmMailbox
  const { sent, done, freed, posted, received } = parts.MessageState
  const { sendOutstanding, receiveOutstanding } = parts.Control
  const { wanted: wantedBit, immediate: immediateInfo } = parts.RequestInfo
  const {
    RECV: recv,
    RECV_RDMA_WITH_IMM: recvWrite,
    RDMA_READ: read,
    COMP_SWAP: swap,
    FETCH_ADD: add,
  } = parts.opcodes
  const { GRH: routed, WITH_IMM: withImmediate, WITH_INV: withInvalidate } = parts.flags
  const entryMask = (1 << countShift) - 1
  const wordShift = strideShift - 2
  /** An entry of 128 bytes has the one of 64 in its second half. */
  const start = (1 << strideShift) - 64
  const wordInEntry = (start + ownerWord) >> 2
  const { cookie, status, opcode, byteLength, immediate, flags, qpn, sourceQpn, vendorError, flowTag, path } =
    parts.Completion
  const cookies = cookie * batch
  const statuses = status * batch
  const opcodes = opcode * batch
  const lengths = byteLength * batch
  const immediates = immediate * batch
  const allFlags = flags * batch
  const numbers = qpn * batch
  const sources = sourceQpn * batch
  const vendors = vendorError * batch
  const tags = flowTag * batch
  const paths = path * batch
  /** The queue pair of the last entry. */
  let lastNumber = -1
  let last: MessagePair | undefined

  function forget(): void {
    lastNumber = -1
    last = undefined
  }

  /** Writes a row; what a success adds is written after it. */
  function write(
    row: number,
    number: number,
    of: number,
    what: number,
    result: number,
    vendor: number,
  ): void {
    columns[cookies + row] = of
    columns[statuses + row] = result
    columns[opcodes + row] = what
    columns[lengths + row] = 0
    columns[immediates + row] = 0
    columns[allFlags + row] = 0
    columns[numbers + row] = number
    columns[sources + row] = 0
    columns[vendors + row] = vendor
    columns[tags + row] = 0
    columns[paths + row] = 0
  }

  /** The send requests up to this one are done; returns 1 where the caller sees the completion, in this row. */
  function sendDone(pair: MessagePair, number: number, word: number, entry: number, row: number): number {
    const { state } = pair
    const slot = (((word & 0xff) << 8) | ((word >>> 8) & 0xff)) & pair.blockMask
    const request = pair.numberAt[slot]
    // An entry that names none of the requests under way is stale.
    if (((request - state[done]) | 0) <= 0 || ((state[sent] - request) | 0) < 0) return 0
    state[done] = request
    state[freed] = pair.behindAt[slot]
    pair.control[sendOutstanding] = (state[sent] - request) | 0
    const info = pair.infoAt[slot]
    const what = info & 0xff
    if (word >>> opcodeShift !== requester) {
      write(
        row,
        number,
        pair.cookieAt[slot],
        what,
        statusOf[view.getUint8(entry + 55)],
        view.getUint8(entry + 54),
      )
      return 1
    }
    if ((info & wantedBit) === 0) return 0
    write(row, number, pair.cookieAt[slot], what, 0, 0)
    if ((info & immediateInfo) !== 0) columns[allFlags + row] = withImmediate
    if (what === read) columns[lengths + row] = view.getInt32(entry + 44)
    else if (what === swap || what === add) columns[lengths + row] = 8
    return 1
  }

  /** A receive queue's requests complete in order. */
  function receiveDone(pair: MessagePair, number: number, word: number, entry: number, row: number): number {
    const { state } = pair
    const kind = word >>> opcodeShift
    const request = state[received]
    if (request === state[posted] || (kind > receivedInvalidate && kind !== responderError)) return 0
    state[received] = (request + 1) | 0
    pair.control[receiveOutstanding] = (state[posted] - request - 1) | 0
    const of = pair.receiveCookies[request & pair.receiveMask]
    if (kind === responderError) {
      write(row, number, of, recv, statusOf[view.getUint8(entry + 55)], view.getUint8(entry + 54))
      return 1
    }
    const source = view.getInt32(entry + 24)
    write(row, number, of, kind === receivedWriteImmediate ? recvWrite : recv, 0, 0)
    columns[lengths + row] = view.getInt32(entry + 44)
    columns[sources + row] = source & 0xffffff
    columns[paths + row] =
      view.getUint16(entry + 22) | (((source >>> 24) & 15) << 16) | ((view.getUint8(entry + 17) & 127) << 24)
    let more = ((source >>> 28) & 3) !== 0 ? routed : 0
    if (kind === receivedImmediate || kind === receivedWriteImmediate) {
      columns[immediates + row] = view.getInt32(entry + 36)
      more |= withImmediate
    } else if (kind === receivedInvalidate) {
      more |= withInvalidate
    }
    columns[allFlags + row] = more
    return 1
  }

  /** Reads an entry; returns how many rows it filled. */
  function take(index: number, word: number, row: number): number {
    const entry = ((index & entryMask) << strideShift) + start
    const number = view.getInt32(entry + 56) & 0xffffff
    if (number !== lastNumber) {
      last = pairOf(number)
      lastNumber = number
    }
    if (last === undefined) return 0
    const kind = word >>> opcodeShift
    return kind === requester || kind === requesterError
      ? sendDone(last, number, word, entry, row)
      : receiveDone(last, number, word, entry, row)
  }

  function poll(): number {
    const first = mailbox[consumerAt]
    let index = first
    let row = 0
    while (row < batch) {
      const at = ((index & entryMask) << wordShift) + wordInEntry
      const word = plain ? words[at] : Atomics.load(words, at)
      if (((word >>> ownerBit) & 1) !== ((index >>> countShift) & 1) || word >>> opcodeShift === invalid)
        break
      row += take(index, word, row)
      index = (index + 1) | 0
    }
    if (index === first) return mailbox[goneAt] === 0 ? 0 : closed()
    mailbox[consumerAt] = index
    setConsumerIndex(index)
    return row
  }

  return { poll, forget }
}

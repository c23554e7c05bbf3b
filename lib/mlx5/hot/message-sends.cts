import type { MessageSendParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a send queue that makes requests out of records, one copy a queue pair (lib/hot/own-copy.ts): control
 * segment, then a datagram segment, or a remote address and an atomic's operands, then data segments or inline data
 * (providers/mlx5/qp.c, _mlx5_post_send). A request is checked while it is written; the device hears of none that is
 * refused.
 */
export = function messageSends(parts: MessageSendParts): () => number {
  const { state, control, mailbox, numberAt, behindAt, cookieAt, infoAt, bell, refuse, find, vectorOf } =
    parts
  const { kinds, datagram, maxElements, maxInline, longest, depth, number, blueFlame } = parts
  const { table, sizes, memories, vectors } = parts
  const {
    words: records,
    producer: producerAt,
    consumer: consumerAt,
    first: firstRecord,
    shift,
  } = parts.records
  const recordMask = parts.records.mask
  const { words, view, countShift } = parts.ring
  const {
    signalled: signalledBit,
    solicited: solicitedBit,
    fenced: fencedBit,
    inline: inlineBit,
    extended,
  } = parts.fields
  const { head: headAt, cookie: cookieWord, immediate: immediateAt, rkey: rkeyAt } = parts.Send
  const { remoteLow: remoteLowAt, remoteHigh: remoteHighAt, elements: elementsAt } = parts.Send
  const {
    compareLow: compareLowAt,
    compareHigh: compareHighAt,
    swapLow: swapLowAt,
    swapHigh: swapHighAt,
  } = parts.Send
  const { addressHandle: addressHandleAt, remoteQpn: remoteQpnAt, remoteQkey: remoteQkeyAt } = parts.Send
  const {
    FENCE: fence,
    SIGNALED: signaled,
    SOLICITED: solicited,
    INLINE: inline,
    IP_CSUM: checksum,
  } = parts.SendFlag
  const {
    segments: segmentsAt,
    needsReply,
    immediate: hasImmediate,
    atomic: isAtomic,
    swap: isSwap,
  } = parts.RequestKind
  const {
    key: keyAt,
    writable: writableAt,
    addressLow: lowAt,
    addressHigh: highAt,
    words: lineWords,
  } = parts.RegionLine
  const { EINVAL, ENOMEM, EMSGSIZE } = parts.errno
  const { Refusal } = parts
  const { sendOutstanding } = parts.Control
  const {
    device,
    sent,
    done,
    block: blockAt,
    freed,
    unsignalled: unsignalledAt,
    awaited,
  } = parts.MessageState
  const { producer: producerWord, last: lastWord, blueFlame: blueFlameWord } = parts.SendMailbox
  const { readyToSend } = parts
  const { wanted: wantedBit, immediate: immediateInfo } = parts.RequestInfo
  const blocks = 1 << countShift
  const blockMask = blocks - 1
  const byteMask = blocks * 64 - 1
  /** The next signalled completion retires the unsignalled requests before it, so one must come every half queue. */
  const stretch = depth >> 1 > 1 ? depth >> 1 : 1
  const lineShift = 31 - Math.clz32(lineWords)
  /** Bytes of the last request that was written, if its data are inline; 0. */
  let copied = 0

  /** Tells why the request in this record is refused. */
  function no(record: number, errno: number, reason: number, detail: number): number {
    refuse(errno, reason, detail, records[record + cookieWord], 0)
    return reason === Refusal.byProvider ? 0 : -1
  }

  /** Writes the data of a record's elements into its request, from `at` on, behind the head of inline data. */
  function copy(record: number, count: number, from: number, total: number): void {
    view.setInt32(from, inlineBit | total)
    let at = (from + 4) & byteMask
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const element = record + elementsAt + (i << 2)
      const memory = memories[find(records[element]) >> lineShift]
      let place = memory.start + records[element + 1] + records[element + 2] * 0x100000000
      let left = records[element + 3]
      if (((place | at) & 3) === 0) {
        const source = memory.words
        for (; left >= 4; left -= 4) {
          words[at >> 2] = source[place / 4]
          place += 4
          at = (at + 4) & byteMask
        }
      }
      const source = memory.bytes
      for (; left > 0; left--) {
        view.setUint8(at, source[place])
        place++
        at = (at + 1) & byteMask
      }
    }
  }

  function writeRemote(record: number, start: number, kind: number): void {
    view.setInt32(start + 16, records[record + remoteHighAt])
    view.setInt32(start + 20, records[record + remoteLowAt])
    view.setInt32(start + 24, records[record + rkeyAt])
    words[(start + 28) >> 2] = 0
    if ((kind & isAtomic) === 0) return
    const compareHigh = records[record + compareHighAt]
    const compareLow = records[record + compareLowAt]
    const swaps = (kind & isSwap) !== 0
    // swap_add, compare (set_atomic_seg)
    view.setInt32(start + 32, swaps ? records[record + swapHighAt] : compareHigh)
    view.setInt32(start + 36, swaps ? records[record + swapLowAt] : compareLow)
    view.setInt32(start + 40, swaps ? compareHigh : 0)
    view.setInt32(start + 44, swaps ? compareLow : 0)
  }

  /** Writes the address of a datagram's peer; false if there is none. */
  function writeDatagram(record: number, start: number): boolean {
    const vector = vectorOf(records[record + addressHandleAt])
    if (vector < 0) return false
    const at = (start + 16) >> 2
    for (let i = 3; i < 12; i = (i + 1) | 0) words[at + i] = vectors[vector + i]
    view.setInt32(start + 16, records[record + remoteQkeyAt])
    words[at + 1] = 0
    view.setInt32(start + 24, records[record + remoteQpnAt] | extended)
    return true
  }

  /** Makes the request of a record: 1; 0 when it may go another time, −1 when it never can. */
  function write(record: number): number {
    const head = records[record + headAt]
    const opcode = head & 0xff
    const flags = (head >>> 8) & 0xff
    const count = head >>> 16
    const kind = opcode < kinds.length ? kinds[opcode] : 0
    const inlined = (flags & inline) !== 0
    if (kind === 0 || (inlined && (kind & needsReply) !== 0))
      return no(record, EINVAL, Refusal.badOpcode, opcode)
    if (count > maxElements) return no(record, EINVAL, Refusal.tooManyElements, count)
    if ((flags & checksum) !== 0) return no(record, EINVAL, Refusal.noChecksum, 0)
    const block = state[blockAt]
    const room = (blocks - (block - state[freed])) | 0
    const start = (block & blockMask) << 6
    let segments = (kind >>> segmentsAt) & 7
    if (!inlined && (segments + count + 3) >> 2 > room) return no(record, ENOMEM, Refusal.byProvider, 0)
    const data = (start + (segments << 4)) & byteMask
    let at = data
    let total = 0
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const element = record + elementsAt + (i << 2)
      const line = find(records[element])
      if (line < 0) return no(record, EINVAL, Refusal.staleRegion, i)
      if ((kind & needsReply) !== 0 && table[line + writableAt] === 0) {
        return no(record, EINVAL, Refusal.notWritable, i)
      }
      const low = records[element + 1]
      const high = records[element + 2]
      const length = records[element + 3]
      if (low + high * 0x100000000 + length > sizes[line >> lineShift]) {
        return no(record, EINVAL, Refusal.outOfBounds, i)
      }
      total += length
      // libmlx5 leaves an element of no bytes out: a byte count of 0 says 2³¹.
      if (inlined || length === 0) continue
      const address = (table[line + lowAt] >>> 0) + low
      view.setInt32(at, length)
      words[(at + 4) >> 2] = table[line + keyAt]
      view.setInt32(at + 8, table[line + highAt] + high + (address > 0xffffffff ? 1 : 0))
      view.setInt32(at + 12, address)
      at = (at + 16) & byteMask
      segments = (segments + 1) | 0
    }
    if (total > longest) return no(record, EMSGSIZE, Refusal.tooLong, total > 0xffffffff ? 0xffffffff : total)
    if ((kind & isAtomic) !== 0) {
      if (total !== 8) return no(record, EINVAL, Refusal.badAtomic, 0)
      // Each element takes 8 bytes, whatever its length (set_data_ptr_seg_atomic): they must be one.
      if (at !== ((data + 16) & byteMask)) return no(record, EINVAL, Refusal.badAtomic, 1)
    }
    if (inlined) {
      if (total > maxInline) return no(record, EINVAL, Refusal.inlineTooLong, total)
      segments = total > 0 ? segments + ((total + 19) >> 4) : segments
      if ((segments + 3) >> 2 > room) return no(record, ENOMEM, Refusal.byProvider, 0)
    }
    if (datagram) {
      if (!writeDatagram(record, start)) return no(record, EINVAL, Refusal.badAddressHandle, 0)
    } else if (((kind >>> segmentsAt) & 7) > 1) {
      writeRemote(record, start, kind)
    }
    if (inlined && total > 0) copy(record, count, data, total)
    const wanted = (flags & signaled) !== 0
    const unsignalled = (state[unsignalledAt] + 1) | 0
    const completes = wanted || unsignalled >= stretch
    view.setInt32(start, ((block & 0xffff) << 8) | (kind & 0xff))
    view.setInt32(start + 4, (number << 8) | segments)
    view.setInt32(
      start + 8,
      (completes ? signalledBit : 0) |
        ((flags & solicited) !== 0 ? solicitedBit : 0) |
        ((flags & fence) !== 0 ? fencedBit : 0),
    )
    view.setInt32(start + 12, (kind & hasImmediate) !== 0 ? records[record + immediateAt] : 0)
    const slot = block & blockMask
    const next = (state[sent] + 1) | 0
    const behind = (block + ((segments + 3) >> 2)) | 0
    numberAt[slot] = next
    behindAt[slot] = behind
    cookieAt[slot] = records[record + cookieWord]
    infoAt[slot] =
      ((kind >>> 8) & 0xff) | (wanted ? wantedBit : 0) | ((kind & hasImmediate) !== 0 ? immediateInfo : 0)
    state[sent] = next
    state[blockAt] = behind
    state[unsignalledAt] = completes ? 0 : unsignalled
    if (completes) state[awaited] = next
    mailbox[lastWord] = block & 0xffff
    copied = inlined && segments << 4 <= blueFlame ? ((segments + 3) >> 2) << 6 : 0
    return 1
  }

  return function post(): number {
    const first = records[consumerAt]
    const there = (records[producerAt] - first) >>> 0
    if (there === 0) return 0
    if (state[device] < readyToSend) {
      no(firstRecord + ((first & recordMask) << shift), EINVAL, Refusal.wrongState, state[device])
      return 0
    }
    const outstanding = (state[sent] - state[done]) | 0
    const most = there < depth - outstanding ? there : depth - outstanding
    let taken = 0
    let refused = 0
    while (taken < most) {
      const written = write(firstRecord + (((first + taken) & recordMask) << shift))
      if (written !== 1) {
        refused = -written
        break
      }
      taken = (taken + 1) | 0
    }
    records[consumerAt] = first + taken + refused
    if (taken === 0) return 0
    control[sendOutstanding] = outstanding + taken
    mailbox[producerWord] = state[blockAt] & 0xffff
    // A request alone in its batch, with its data, goes into the register: it saves a card the read (BlueFlame).
    mailbox[blueFlameWord] = taken === 1 ? copied : 0
    bell()
    return taken
  }
}

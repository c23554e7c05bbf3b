import type { HotSendRequests, SendRequestParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * The end of a send queue that writes frames, one copy a queue (lib/hot/own-copy.ts). Frames go into one enhanced
 * multi-packet request until it is full, or handed over: control segment, Ethernet segment, then a data segment each. A
 * lone frame's request has the same form and is a plain send. Only the last request before a hand-over asks for a
 * completion, which stands for all before it.
 */
export = function sendRequests(parts: SendRequestParts): HotSendRequests {
  const { position, state, mailbox, sent, framesAt, blockBehind } = parts
  const { number, key, mostFrames, inlined, memory, base } = parts
  const usualChecksums = parts.checksums
  const { words, view, countShift } = parts.ring
  const { keys, addressHighs, addressLows } = parts
  const { fields } = parts
  const { indexShift, send, multiPacket, signalled, indexAndOpcode, numberAndSegments } = fields
  const {
    block: blockAt,
    open: openAt,
    next: nextAt,
    end: endAt,
    checksums: checksumsAt,
    last: lastAt,
    published: publishedAt,
    told: toldAt,
    freed: freedAt,
  } = parts.SendState
  const { producer: producerAt, last: lastRungAt, rung: rungAt } = parts.SendMailbox
  const blocks = 1 << countShift
  const blockMask = blocks - 1
  const byteMask = blocks * 64 - 1
  const sentMask = sent.length - 1
  /** Of control and Ethernet segment. */
  const headBytes = 32
  const completionWord = fields.completionWord >> 2
  const immediateWord = fields.immediate >> 2
  const segmentSizeWord = fields.segmentSizeWord >> 2
  const checksumWord = fields.checksumWord >> 2
  const metadataWord = fields.metadata >> 2
  const inlineSizeWord = fields.inlineSize >> 2

  /** Completes the open request. */
  function seal(completion: number): void {
    const block = state[blockAt]
    const start = (block & blockMask) << 6
    const segments = ((state[nextAt] - start) & byteMask) >> 4
    const lone = inlined > 0 || segments === 3
    const at = start >> 2
    view.setInt32(start + indexAndOpcode, ((block & 0xffff) << indexShift) | (lone ? send : multiPacket))
    view.setInt32(start + numberAndSegments, number | segments)
    words[at + completionWord] = completion << 24
    words[at + immediateWord] = 0
    words[at + segmentSizeWord] = 0
    words[at + checksumWord] = state[checksumsAt]
    words[at + metadataWord] = 0
    if (inlined === 0) words[at + inlineSizeWord] = 0
    const behind = (block + ((segments + 3) >> 2)) | 0
    framesAt[block & blockMask] = position[0]
    blockBehind[block & blockMask] = behind
    state[lastAt] = block
    state[blockAt] = behind
    state[openAt] = 0
    state[endAt] = state[nextAt]
  }

  /** Begins a request of so many frames at most; returns where its first data segment goes. */
  function beginOf(most: number): number {
    sealOpen()
    state[openAt] = 1
    state[checksumsAt] = usualChecksums
    const first = ((state[blockAt] << 6) + headBytes) & byteMask
    state[endAt] = (first + most * 16) & byteMask
    return first
  }

  function begin(): number {
    return beginOf(mostFrames)
  }

  // As short as it can be: V8 inlines it into the program's own loop, with all that is around it, or not at all.
  function push(address: number, length: number): void {
    let at = state[nextAt]
    if (at === state[endAt]) at = begin()
    const word = at >> 2
    view.setInt32(at, length)
    keys[word] = key
    addressHighs[word] = 0
    addressLows.setInt32(at, address + base)
    state[nextAt] = (at + 16) & byteMask
    const next = position[0]
    sent[next & sentMask] = address
    position[0] = (next + 1) | 0
  }

  /** Writes a frame's first bytes into a request of its own, padded with zeros where it has fewer, and names the rest. */
  function pushInlined(address: number, length: number): void {
    const start = beginOf(1) - headBytes
    view.setUint16(start + fields.inlineSize, inlined)
    for (let i = 0; i < inlined; i = (i + 1) | 0) {
      view.setUint8(start + fields.inlineStart + i, i < length ? memory[address + i] : 0)
    }
    const data = start + headBytes + 16
    state[nextAt] = data & byteMask
    state[endAt] = blocks * 64
    if (length > inlined) push(address + inlined, length - inlined)
    else position[0] = (position[0] + 1) | 0
    sent[(position[0] - 1) & sentMask] = address
    state[endAt] = state[nextAt]
  }

  function write(address: number, length: number, checksums: number): void {
    if (inlined > 0) {
      pushInlined(address, length)
    } else {
      state[nextAt] = beginOf(1)
      push(address, length)
    }
    state[checksumsAt] = checksums | usualChecksums
  }

  /** The device was told of what was published, when the bell rang. */
  function settle(): void {
    if (mailbox[rungAt] === mailbox[producerAt]) state[toldAt] = state[publishedAt]
  }

  function sealOpen(): void {
    if (state[openAt] !== 0) seal(0)
  }

  function publish(): void {
    if (state[publishedAt] === position[0]) return
    settle()
    // A request of work that the device does to one frame is sealed already (send-work.cts).
    if (state[openAt] !== 0) seal(signalled)
    else words[((state[lastAt] & blockMask) << 4) + completionWord] = signalled << 24
    state[publishedAt] = position[0]
    mailbox[producerAt] = state[blockAt] & 0xffff
    mailbox[lastRungAt] = state[lastAt] & 0xffff
  }

  function allTaken(): boolean {
    settle()
    return state[toldAt] === position[0]
  }

  function outstanding(): number {
    settle()
    return (position[0] - state[toldAt]) | 0
  }

  /** In frames of a block each. */
  function room(): number {
    const open = state[openAt] === 0 ? 0 : (((state[nextAt] - (state[blockAt] << 6)) & byteMask) >> 4) - 2
    return (blocks - (state[blockAt] - state[freedAt]) - open) | 0
  }

  function index(): number {
    return position[0]
  }

  return {
    index,
    push: inlined > 0 ? pushInlined : push,
    write,
    seal: sealOpen,
    publish,
    allTaken,
    outstanding,
    room,
  }
}

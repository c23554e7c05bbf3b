import type { SendWorkParts } from './parts.js' with { 'resolution-mode': 'import' }

/**
 * Writes frames that the device does more to than checksums, each in a request of its own: it inserts a VLAN tag, or cuts
 * the frame into segments (TSO), whose headers lie in the request (Linux: en_tx.c, mlx5e_sq_xmit_wqe). One copy a queue
 * (lib/hot/own-copy.ts), made at the first such frame: all others go by send-requests.cts, whose state this shares.
 */
export = function sendWork(parts: SendWorkParts): (address: number, length: number) => void {
  const { position, state, sent, framesAt, blockBehind, seal, number, key, inlined, memory, base, work } =
    parts
  const { words, view, countShift } = parts.ring
  const { keys, addressHighs, addressLows, fields } = parts
  const { indexShift, send, segmented, indexAndOpcode, numberAndSegments, insertVlan } = fields
  const { block: blockAt, last: lastAt } = parts.SendState
  const {
    tag: tagAt,
    headers: headersAt,
    segmentSize: segmentSizeAt,
    checksums: checksumsAt,
  } = parts.SendWork
  const blockMask = (1 << countShift) - 1
  const byteMask = (1 << countShift) * 64 - 1
  const sentMask = sent.length - 1
  const wordOf = {
    completion: fields.completionWord >> 2,
    immediate: fields.immediate >> 2,
    segmentSize: fields.segmentSizeWord >> 2,
    checksum: fields.checksumWord >> 2,
    metadata: fields.metadata >> 2,
    inlineSize: fields.inlineSize >> 2,
  }
  /** Of control and Ethernet segment, which holds the first two bytes of a header. */
  const headBytes = 32
  const addressBytes = 12
  const tagBytes = 4
  const ethernetBytes = 14
  /** ETH_P_8021Q: the only tag that a card inserts without being told which. */
  const usualProtocol = 0x8100

  /** Copies the frame's first bytes into a request, with the tag behind the addresses; where it has fewer, zeros. */
  function writeHeaders(start: number, size: number, tag: number, address: number, length: number): void {
    const shift = tag === 0 ? 0 : tagBytes
    for (let i = 0; i < size; i = (i + 1) | 0) {
      const from = i < addressBytes ? i : i - shift
      let byte = from < length ? memory[address + from] : 0
      if (i >= addressBytes && i < addressBytes + shift) byte = tag >>> (24 - ((i - addressBytes) << 3))
      view.setUint8((start + i) & byteMask, byte)
    }
  }

  return function write(address: number, length: number): void {
    seal()
    const tag = work[tagAt]
    const segmentSize = work[segmentSizeAt]
    let header = segmentSize === 0 ? inlined : work[headersAt]
    const inserted = tag !== 0 && header === 0 && tag >>> 16 === usualProtocol
    if (tag !== 0 && header === 0 && !inserted) header = ethernetBytes
    const inRequest = header === 0 ? 0 : header + (tag === 0 ? 0 : tagBytes)
    const block = state[blockAt]
    const start = (block & blockMask) << 6
    const at = start >> 2
    words[at + wordOf.completion] = 0
    words[at + wordOf.immediate] = 0
    words[at + wordOf.segmentSize] = 0
    words[at + wordOf.checksum] = work[checksumsAt]
    words[at + wordOf.metadata] = 0
    words[at + wordOf.inlineSize] = 0
    view.setUint16(start + fields.segmentSize, segmentSize)
    if (inserted) {
      view.setUint16(start + fields.inlineSize, insertVlan)
      view.setUint16(start + fields.inlineStart, tag)
    } else if (inRequest > 0) {
      view.setUint16(start + fields.inlineSize, inRequest)
      writeHeaders(start + fields.inlineStart, inRequest, tag, address, length)
    }
    let bytes = headBytes + (inRequest > 2 ? (inRequest - 2 + 15) & ~15 : 0)
    if (length > header) {
      const data = (start + bytes) & byteMask
      view.setInt32(data, length - header)
      keys[data >> 2] = key
      addressHighs[data >> 2] = 0
      addressLows.setInt32(data, address + header + base)
      bytes += 16
    }
    const opcode = segmentSize === 0 ? send : segmented
    view.setInt32(start + indexAndOpcode, ((block & 0xffff) << indexShift) | opcode)
    view.setInt32(start + numberAndSegments, number | (bytes >> 4))
    const next = position[0]
    sent[next & sentMask] = address
    position[0] = (next + 1) | 0
    const behind = (block + ((bytes + 63) >> 6)) | 0
    framesAt[block & blockMask] = position[0]
    blockBehind[block & blockMask] = behind
    state[lastAt] = block
    state[blockAt] = behind
  }
}

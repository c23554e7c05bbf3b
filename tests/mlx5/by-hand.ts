/** A driver of a few lines, by the layouts' offsets: one request at a time, and a look at the next completion. */
import type { MemoryRegion } from 'ibverbs'
import { type DirectCompletionQueue, type DirectQueuePair, type DirectRing, layout } from 'ibverbs/mlx5'

const { controlSegment, dataSegment, ethernetSegment, SendOpcode, CompletionMode, CqeOpcode } = layout

/** Where an entry begins, from the ring's start. */
export const entryAt = ({ count, stride }: DirectRing, counter: number) => (counter & (count - 1)) * stride

interface Piece {
  memory: MemoryRegion
  offset: number
  length: number
}

function writeData(view: DataView, at: number, { memory, offset, length }: Piece): void {
  const { byteCount, key, address } = dataSegment.fields
  view.setUint32(at + byteCount.offset, length)
  view.setUint32(at + key.offset, memory.lkey)
  view.setBigUint64(at + address.offset, memory.address + BigInt(offset))
}

/** Writes a send request of one block; `segments` begins behind the control segment and returns its length in 16 bytes. */
export function writeSend(
  { send, number }: DirectQueuePair,
  counter: number,
  segments: (at: number) => number,
  opcode: number = SendOpcode.SEND,
): void {
  const { view } = send
  const at = entryAt(send, counter)
  const size = 1 + segments(at + controlSegment.length)
  const { fields } = controlSegment
  view.setUint32(at + fields.opcode.offset, ((counter & 0xffff) << 8) | opcode)
  view.setUint32(at + fields.queuePairNumber.offset, (number << 8) | size)
  view.setUint32(at + fields.signature.offset, CompletionMode.ALWAYS << fields.completion.low)
  view.setUint32(at + fields.immediate.offset, 0)
}

/** A message from memory. */
export const writeMessage = (pair: DirectQueuePair, counter: number, piece: Piece) =>
  writeSend(pair, counter, (at) => {
    writeData(pair.send.view, at, piece)
    return 1
  })

/** A message in the request itself: at most 44 bytes, so that it has one block. Returns its bytes, control segment included. */
export function writeInline(pair: DirectQueuePair, counter: number, data: Uint8Array): number {
  const size = Math.ceil((4 + data.length) / 16)
  writeSend(pair, counter, (at) => {
    pair.send.view.setUint32(at, layout.inlineSegment + data.length)
    pair.send.bytes.set(data, at + 4)
    return size
  })
  return 16 + size * 16
}

/** A frame whose first 18 bytes lie in the Ethernet segment. */
export function writeFrame(pair: DirectQueuePair, counter: number, piece: Piece, checksums = 0): void {
  const inlined = 18
  writeSend(pair, counter, (at) => {
    const { view, bytes } = pair.send
    bytes.fill(0, at, at + 32)
    bytes[at + ethernetSegment.fields.checksums.offset] = checksums
    view.setUint16(at + ethernetSegment.fields.inlineHeaderSize.offset, inlined)
    const { memory, offset, length } = piece
    bytes.set(memory.bytes.subarray(offset, offset + inlined), at + layout.inlineHeaderStart)
    writeData(view, at + 32, { memory, offset: offset + inlined, length: length - inlined })
    return 3
  })
}

/** Writes a receive request of one element. */
export function writeReceive({ receive }: DirectQueuePair, counter: number, piece: Piece): void {
  const at = entryAt(receive, counter)
  writeData(receive.view, at, piece)
  if (receive.stride > dataSegment.length) {
    receive.view.setUint32(at + dataSegment.length + dataSegment.fields.byteCount.offset, 0)
    receive.view.setUint32(at + dataSegment.length + dataSegment.fields.key.offset, layout.invalidLkey)
  }
}

/** The entry of a completion that has come; undefined when there is none. */
export function look(queue: DirectCompletionQueue, index: number): Uint8Array | undefined {
  const at = entryAt(queue, index) + queue.stride - layout.cqeLength
  const own = queue.bytes[at + 63]
  const lap = (index / queue.count) & 1
  if (own >> 4 === CqeOpcode.INVALID || (own & 1) !== lap) return undefined
  return queue.bytes.subarray(at, at + layout.cqeLength)
}

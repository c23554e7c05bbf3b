/** Writes one request of each kind at the offsets of the layouts, as a driver does. */
import type { MemoryRegion } from '../../index.js'
import { type DirectQueuePair, layout } from '../../mlx5/index.js'

const {
  atomicSegment,
  CompletionMode,
  controlSegment,
  dataSegment,
  EthernetFlag,
  ethernetSegment,
  inlineHeaderStart,
  remoteAddressSegment,
  SendOpcode,
} = layout

/** A stretch of registered memory. */
export interface Stretch {
  memory: MemoryRegion
  offset: number
  length: number
}

const addressOf = ({ memory, offset }: Stretch) => memory.address + BigInt(offset)

function writeData(view: DataView, at: number, stretch: Stretch): void {
  const { byteCount, key, address } = dataSegment.fields
  view.setUint32(at + byteCount.offset, stretch.length)
  view.setUint32(at + key.offset, stretch.memory.lkey)
  view.setBigUint64(at + address.offset, addressOf(stretch))
}

/** The first request of a send queue; `segments` writes what follows the control segment and returns where it ends. */
function writeRequest(pair: DirectQueuePair, opcode: number, segments: (at: number) => number): void {
  const { view, bytes } = pair.send
  bytes.fill(0, 0, layout.basicBlock)
  const end = segments(controlSegment.length)
  const { fields } = controlSegment
  view.setUint32(fields.opcode.offset, opcode) // its index is 0
  view.setUint32(fields.queuePairNumber.offset, (pair.number << 8) | (end / layout.segmentUnit))
  view.setUint8(fields.completion.offset, CompletionMode.ALWAYS << fields.completion.low)
}

/** The first request of a receive queue. */
export function writeReceive({ receive }: DirectQueuePair, stretch: Stretch): void {
  writeData(receive.view, 0, stretch)
  if (receive.stride === dataSegment.length) return
  receive.view.setUint32(dataSegment.length + dataSegment.fields.byteCount.offset, 0)
  receive.view.setUint32(dataSegment.length + dataSegment.fields.key.offset, layout.invalidLkey)
}

/** A message. */
export function writeSend(pair: DirectQueuePair, from: Stretch): void {
  writeRequest(pair, SendOpcode.SEND, (at) => {
    writeData(pair.send.view, at, from)
    return at + dataSegment.length
  })
}

/** A write or a read of the peer's memory. */
export function writeTransfer(pair: DirectQueuePair, opcode: number, here: Stretch, there: Stretch): void {
  writeRequest(pair, opcode, (at) => {
    writeRemote(pair.send.view, at, there)
    writeData(pair.send.view, at + remoteAddressSegment.length, here)
    return at + remoteAddressSegment.length + dataSegment.length
  })
}

/** A fetch-and-add of the peer's memory; what was there comes back. */
export function writeFetchAndAdd(pair: DirectQueuePair, here: Stretch, there: Stretch, addend: bigint): void {
  const { view } = pair.send
  writeRequest(pair, SendOpcode.ATOMIC_FA, (at) => {
    writeRemote(view, at, there)
    at += remoteAddressSegment.length
    view.setBigUint64(at + atomicSegment.fields.swapOrAdd.offset, addend)
    at += atomicSegment.length
    writeData(view, at, here)
    return at + dataSegment.length
  })
  // The operands' size: 8 bytes, as mlx5's opcode modifier says it (libmlx5, mlx5_wqe_atomic).
  view.setUint8(controlSegment.fields.opcodeModifier.offset, 8)
}

function writeRemote(view: DataView, at: number, there: Stretch): void {
  view.setBigUint64(at + remoteAddressSegment.fields.address.offset, addressOf(there))
  view.setUint32(at + remoteAddressSegment.fields.key.offset, there.memory.rkey)
}

/** A frame: its first 18 bytes in the request, the rest in memory; the device computes its checksums. */
export function writeFrame(pair: DirectQueuePair, from: Stretch): void {
  const { view, bytes } = pair.send
  const inlined = 18
  writeRequest(pair, SendOpcode.SEND, (at) => {
    view.setUint8(at + ethernetSegment.fields.checksums.offset, EthernetFlag.L3_CSUM | EthernetFlag.L4_CSUM)
    view.setUint16(at + ethernetSegment.fields.inlineHeaderSize.offset, inlined)
    const { memory, offset, length } = from
    bytes.set(memory.bytes.subarray(offset, offset + inlined), at + inlineHeaderStart)
    at += Math.ceil((inlineHeaderStart + inlined) / layout.segmentUnit) * layout.segmentUnit
    writeData(view, at, { memory, offset: offset + inlined, length: length - inlined })
    return at + dataSegment.length
  })
}

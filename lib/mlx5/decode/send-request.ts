import { instance, object, oneOf } from '../../argument.js'
import { type QueuePairType, queuePairTypes } from '../../verbs/constants.js'
import { bits, bytes as bytesReading, hex, kernelQp, type StructLayout, word } from '../layout/field.js'
import { basicBlock, SendOpcode, type SendOpcodeName, segmentUnit } from '../layout/names.js'
import {
  atomicMaskSegment,
  atomicSegment,
  controlSegment,
  datagramSegment,
  dataSegment,
  ethernetSegment,
  inlineDataSegment,
  inlineHeaderStart,
  memoryKeySegment,
  remoteAddressSegment,
  umrControlSegment,
  unknownSegment,
} from '../layout/send-request.js'
import { type DecodedEntry, DecodeError, hexNumber, Reader } from './entry.js'

/** How to read a send request. */
export interface SendRequestOptions {
  /** The queue pair's type: the segments depend on it. */
  type: QueuePairType
}
const optionNames = { type: true } as const

/** A send request (a WQE). */
export interface DecodedSendRequest extends DecodedEntry {
  /** Its number, modulo 2¹⁶: that of its first block of 64 bytes. */
  readonly index: number
  /** 64-byte blocks that it takes in the ring. */
  readonly blocks: number
  /** undefined: an opcode without a name. */
  readonly opcode: SendOpcodeName | undefined
}

const opcodeNames = new Map<number, SendOpcodeName>(
  Object.entries(SendOpcode).map(([name, value]) => [value, name as SendOpcodeName]),
)

/**
 * Names every byte of a send request.
 *
 * @param bytes the request from its control segment on, in one piece: a ring's end is the caller's affair. What follows it is
 *   not looked at
 * @throws DecodeError when the bytes are no send request, or are cut off
 */
export function decodeSendRequest(bytes: Uint8Array, options: SendRequestOptions): DecodedSendRequest {
  instance('bytes', bytes, Uint8Array)
  object('options', options, 'an object', optionNames)
  const type = oneOf('options.type', options.type, queuePairTypes)
  if (bytes.length < segmentUnit) {
    throw new DecodeError(
      `a send request has ${segmentUnit} bytes at least, not ${bytes.length}`,
      bytes.length,
    )
  }
  const head = new Reader(bytes.slice(0, segmentUnit))
  const segments = head.number(0, controlSegment.fields.segments)
  const length = segments * segmentUnit
  if (segments === 0) throw new DecodeError('a send request of no segments (ds is 0)', 4)
  if (length > bytes.length) {
    throw new DecodeError(
      `the send request has ${length} bytes, and only ${bytes.length} are there`,
      bytes.length,
    )
  }
  const reader = new Reader(bytes.slice(0, length))
  reader.add(0, controlSegment)
  const index = reader.number(0, controlSegment.fields.index)
  const code = reader.number(0, controlSegment.fields.opcode)
  const opcode = opcodeNames.get(code)
  readSegments(reader, opcode, type)
  const name = opcode ?? `opcode ${hexNumber(code)}`
  return {
    title: `send request ${index}: ${name}`,
    index,
    blocks: Math.ceil(length / basicBlock),
    opcode,
    bytes: reader.bytes,
    segments: reader.segments,
  }
}

/** The segments behind the control segment. */
function readSegments(reader: Reader, opcode: SendOpcodeName | undefined, type: QueuePairType): void {
  let at: number = controlSegment.length
  const take = (layout: StructLayout) => {
    reader.add(at, layout)
    at += layout.length
  }
  switch (opcode) {
    case 'SEND':
    case 'SEND_IMM':
    case 'SEND_INVAL':
    case 'TSO':
      if (type === 'RAW_PACKET') at = readEthernet(reader, at)
      if (type === 'UD') at = readDatagram(reader, at)
      break
    case 'ENHANCED_MPSW':
      at = readEthernet(reader, at)
      break
    case 'RDMA_WRITE':
    case 'RDMA_WRITE_IMM':
    case 'RDMA_READ':
      take(remoteAddressSegment)
      break
    case 'ATOMIC_CS':
    case 'ATOMIC_FA':
    case 'ATOMIC_MASKED_FA':
      take(remoteAddressSegment)
      take(atomicSegment)
      break
    case 'ATOMIC_MASKED_CS':
      take(remoteAddressSegment)
      take(atomicSegment)
      take(atomicMaskSegment)
      break
    case 'UMR':
      take(umrControlSegment)
      take(memoryKeySegment)
      break
    default:
      while (at < reader.bytes.length) take(unknownSegment)
  }
  while (at < reader.bytes.length) at = readData(reader, at)
}

/** Returns where the segment and the frame's bytes in it end. */
function readEthernet(reader: Reader, at: number): number {
  reader.add(at, ethernetSegment)
  const { insertVlan, inlineHeaderSize } = ethernetSegment.fields
  const start = at + inlineHeaderStart
  if (reader.number(at, insertVlan) === 1) {
    reader.add(start, {
      title: 'VLAN tag to insert',
      struct: 'mlx5_wqe_eth_seg',
      source: kernelQp,
      length: 2,
      fields: {
        priority: bits(0, 2, [15, 13], 'insert.vlan_tci', hex),
        vlan: bits(0, 2, [11, 0], 'insert.vlan_tci', hex),
      },
    })
    return at + ethernetSegment.length
  }
  const size = reader.number(at, inlineHeaderSize)
  if (size === 0) return at + ethernetSegment.length
  reader.add(start, {
    title: 'inline header',
    struct: 'mlx5_wqe_eth_seg',
    source: kernelQp,
    length: size,
    fields: { bytes: word(0, size, 'inline_hdr.start', bytesReading) },
  })
  return at + roundUp(inlineHeaderStart + size)
}

/** A datagram's address is short or, as RoCE wants it, long. */
function readDatagram(reader: Reader, at: number): number {
  const { extended } = datagramSegment.fields
  if (at + segmentUnit <= reader.bytes.length && reader.number(at, extended) === 0) {
    const short = ['queueKey', 'extended', 'queuePairNumber', 'staticRate', 'serviceLevel', 'sourcePathBits']
    reader.add(at, { ...datagramSegment, length: segmentUnit }, [...short, 'udpSourcePort'])
    return at + segmentUnit
  }
  reader.add(at, datagramSegment)
  return at + datagramSegment.length
}

/** Memory, or data that lie in the request. Returns where the next segment begins. */
function readData(reader: Reader, at: number): number {
  if (reader.number(at, inlineDataSegment.fields.inline) === 0) {
    reader.add(at, dataSegment)
    return at + dataSegment.length
  }
  reader.add(at, inlineDataSegment)
  const size = reader.number(at, inlineDataSegment.fields.byteCount)
  if (size > 0) {
    reader.add(at + inlineDataSegment.length, {
      title: 'inline data',
      struct: inlineDataSegment.struct,
      source: inlineDataSegment.source,
      length: size,
      fields: { bytes: word(0, size, 'data', bytesReading) },
    })
  }
  return at + roundUp(inlineDataSegment.length + size)
}

const roundUp = (length: number) => Math.ceil(length / segmentUnit) * segmentUnit

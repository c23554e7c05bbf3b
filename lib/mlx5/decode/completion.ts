import { boolean, instance, integer, oneOf, options as optionsObject } from '../../argument.js'
import { type QueuePairType, queuePairTypes } from '../../verbs/constants.js'
import {
  cqeInlineData,
  cqeLength,
  errorCqe,
  frameCqe,
  inlineData32,
  miniChecksum,
  miniChecksumStride,
  miniCqeLength,
  miniHash,
  otherCqe,
  requesterCqe,
  responderCqe,
  stridingByteCount,
} from '../layout/completion.js'
import type { StructLayout } from '../layout/field.js'
import {
  CqeFormat,
  type CqeFormatName,
  CqeOpcode,
  type CqeOpcodeName,
  CqeSyndrome,
  type CqeSyndromeName,
} from '../layout/names.js'
import { type DecodedEntry, DecodeError, hexNumber, Reader } from './entry.js'
import { explainSyndrome } from './syndrome.js'

/** How to read a completion. */
export interface CompletionOptions {
  /** The queue pair's type, as in ibv_create_qp(3): what came is a frame or a message. Default: 'RC' */
  type?: QueuePairType
  /** The frame's receive queue strides. Default: false */
  striding?: boolean
}
const optionNames = { type: true, striding: true } as const

/** An entry of a completion queue (a CQE). */
export interface DecodedCompletion extends DecodedEntry {
  /** undefined: an opcode without a name. Of a compressed title entry it is that of the frames it stands for. */
  readonly opcode: CqeOpcodeName | undefined
  readonly format: CqeFormatName
  /** The lap's bit. */
  readonly owner: number
  /** Of an error completion: its syndrome; undefined, too, for one without a name. */
  readonly syndrome?: CqeSyndromeName
  /** Of an error completion: what it means and what usually causes it. */
  readonly explanation?: string
}

const nameOf = <Name extends string>(names: Readonly<Record<Name, number>>, value: number) =>
  (Object.keys(names) as Name[]).find((name) => names[name] === value)

/**
 * Names every byte of an entry of a completion queue.
 *
 * @param bytes one entry: 64 bytes, or 128
 * @throws DecodeError when they have another length
 */
export function decodeCompletion(bytes: Uint8Array, options?: CompletionOptions): DecodedCompletion {
  instance('bytes', bytes, Uint8Array)
  const { type = 'RC', striding = false } = optionsObject('options', options, optionNames)
  oneOf('options.type', type, queuePairTypes)
  boolean('options.striding', striding)
  if (bytes.length !== cqeLength && bytes.length !== 2 * cqeLength) {
    throw new DecodeError(
      `a completion has ${cqeLength} or ${2 * cqeLength} bytes, not ${bytes.length}`,
      bytes.length,
    )
  }
  const reader = new Reader(bytes.slice())
  const at = bytes.length - cqeLength
  const { fields } = otherCqe
  const code = reader.number(at, fields.opcode)
  const opcode = nameOf(CqeOpcode, code)
  const format = nameOf(CqeFormat, reader.number(at, fields.format))!
  const owner = reader.number(at, fields.owner)
  if (at > 0) reader.add(0, cqeInlineData)
  const common = { opcode, format, owner, bytes: reader.bytes, segments: reader.segments }
  const name = opcode ?? `opcode ${code}`
  if (opcode === 'REQ_ERR' || opcode === 'RESP_ERR') {
    reader.add(at, errorCqe)
    const number = reader.number(at, errorCqe.fields.syndrome)
    const syndrome = nameOf(CqeSyndrome, number)
    const vendor = reader.number(at, errorCqe.fields.vendorSyndrome)
    return {
      ...common,
      title: `completion: ${name}, ${syndrome ?? `syndrome ${hexNumber(number)}`}`,
      ...(syndrome && { syndrome }),
      explanation: explainSyndrome(number, vendor),
    }
  }
  const layout = layoutOf(opcode, type)
  let { fields: told } = layout as StructLayout
  if (format === 'INLINE_DATA_32') {
    // The data lie in the entry's first half, over the fields that are there otherwise.
    reader.add(at, inlineData32)
    told = Object.fromEntries(Object.entries(told).filter(([, { offset }]) => offset >= inlineData32.length))
  }
  if (format === 'COMPRESSED' && layout !== otherCqe) {
    const { byteCount, ...others } = told
    reader.add(at, { ...layout, fields: { ...others, completions: byteCount } })
    const count = reader.number(at, byteCount)
    return { ...common, title: `completion: ${name}, the title of ${count} compressed completions` }
  }
  if (striding && layout === frameCqe) {
    const { byteCount, ...others } = told
    reader.add(at, { ...layout, fields: others })
    reader.add(at + byteCount.offset, stridingByteCount)
  } else {
    reader.add(at, { ...layout, fields: told })
  }
  return { ...common, title: `completion: ${name}` }
}

/** What an entry that is no error looks like. */
function layoutOf(opcode: CqeOpcodeName | undefined, type: QueuePairType): StructLayout {
  if (opcode === 'REQ') return requesterCqe
  if (!opcode?.startsWith('RESP_')) return otherCqe
  return type === 'RAW_PACKET' ? frameCqe : responderCqe
}

const miniFormats = { HASH: miniHash, CSUM: miniChecksum, CSUM_STRIDX: miniChecksumStride } as const
/** What mini completions hold (mlx5dv_cqe_comp_res_format). */
export type MiniCompletionFormat = keyof typeof miniFormats

/**
 * Names every byte of an array of mini completions: the entries behind a compressed title.
 *
 * @param count how many of the entry's eight places are used
 * @throws DecodeError when the bytes are not that many
 */
export function decodeMiniCompletions(
  bytes: Uint8Array,
  format: MiniCompletionFormat,
  count = 8,
): DecodedEntry {
  instance('bytes', bytes, Uint8Array)
  const layout = miniFormats[oneOf('format', format, ['HASH', 'CSUM', 'CSUM_STRIDX'])]
  integer('count', count, 1, cqeLength / miniCqeLength)
  if (bytes.length < count * miniCqeLength) {
    throw new DecodeError(
      `${count} mini completions have ${count * miniCqeLength} bytes, not ${bytes.length}`,
      bytes.length,
    )
  }
  const reader = new Reader(bytes.slice(0, cqeLength))
  for (let i = 0; i < count; i++) {
    reader.add(i * miniCqeLength, { ...layout, title: `mini completion ${i}` })
  }
  return { title: `${count} mini completions`, bytes: reader.bytes, segments: reader.segments }
}

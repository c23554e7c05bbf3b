import { boolean, instance, options as optionsObject } from '../../argument.js'
import { invalidLkey, segmentUnit } from '../layout/names.js'
import { nextSegment } from '../layout/receive-request.js'
import { dataSegment } from '../layout/send-request.js'
import { type DecodedEntry, DecodeError, Reader } from './entry.js'

/** How to read a receive request. */
export interface ReceiveRequestOptions {
  /** Of a shared or a striding receive queue: a head precedes the elements. Default: false */
  head?: boolean
}
const optionNames = { head: true } as const

/** A receive request. */
export interface DecodedReceiveRequest extends DecodedEntry {
  /** Elements before the one that ends the list, or all. */
  readonly elements: number
}

/**
 * Names every byte of a receive request.
 *
 * @param bytes one entry of the queue: its stride, a multiple of 16
 * @throws DecodeError when the bytes are no receive request
 */
export function decodeReceiveRequest(
  bytes: Uint8Array,
  options?: ReceiveRequestOptions,
): DecodedReceiveRequest {
  instance('bytes', bytes, Uint8Array)
  const { head = false } = optionsObject('options', options, optionNames)
  boolean('options.head', head)
  const least = head ? 2 : 1
  if (bytes.length % segmentUnit !== 0 || bytes.length < least * segmentUnit) {
    throw new DecodeError(
      `a receive request has a multiple of ${segmentUnit} bytes, ${least * segmentUnit} at least, not ${bytes.length}`,
      bytes.length,
    )
  }
  const reader = new Reader(bytes.slice())
  let at = 0
  if (head) {
    reader.add(at, nextSegment)
    at += nextSegment.length
  }
  let elements = 0
  for (let ended = false; at < reader.bytes.length; at += dataSegment.length) {
    ended ||= reader.number(at, dataSegment.fields.key) === invalidLkey
    reader.add(at, ended ? { ...dataSegment, title: 'end of the list' } : dataSegment)
    if (!ended) elements++
  }
  return {
    title: `receive request: ${elements} ${elements === 1 ? 'element' : 'elements'}`,
    elements,
    bytes: reader.bytes,
    segments: reader.segments,
  }
}

/**
 * Netlink messages (netlink(7), linux/netlink.h): a header, a fixed part, attributes; numbers in the machine's byte
 * order. The decoder trusts no length: a message that does not fit is EBADMSG.
 */
import { endianness } from 'node:os'
import { verbsError } from '../../../errors.js'

const little = endianness() === 'LE'
/** NLMSG_HDRLEN, NLA_HDRLEN */
const headerBytes = 16
const attributeBytes = 4
/** The two upper bits of an attribute's type are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER). */
const typeMask = 0x3fff

/** NLMSG_*, the types below those of a family */
export const MessageType = { error: 2, done: 3 } as const
/** NLM_F_* */
export const MessageFlag = { request: 1, acknowledge: 4, create: 0x400 } as const

export interface Message {
  type: number
  sequence: number
  /** the fixed part and the attributes */
  body: Uint8Array
}

/** Lengths are rounded up to four bytes: NLMSG_ALIGN, NLA_ALIGN. */
function aligned(length: number): number {
  return (length + 3) & ~3
}

/** A number of 1, 2 or 4 bytes; EBADMSG beyond the end. */
export function readNumber(bytes: Uint8Array, at: number, size: 1 | 2 | 4): number {
  if (at + size > bytes.length) throw malformed(`a number at ${at} of ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, little) : view.getUint32(at, little)
}

/** Encodes consecutive fields: [bytes, value]. */
export function fixedPart(...fields: [size: 1 | 2 | 4, value: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)))
  let at = 0
  for (const [size, value] of fields) {
    if (size === 1) view.setUint8(at, value)
    else if (size === 2) view.setUint16(at, value, little)
    else view.setUint32(at, value, little)
    at += size
  }
  return new Uint8Array(view.buffer)
}

/** Encodes a message with its attributes. */
export function encode(
  type: number,
  flags: number,
  sequence: number,
  fixed: Uint8Array,
  attributes: readonly (readonly [type: number, value: Uint8Array])[],
): Uint8Array {
  const length = attributes.reduce(
    (sum, [, value]) => sum + aligned(attributeBytes + value.length),
    headerBytes + aligned(fixed.length),
  )
  const bytes = new Uint8Array(length)
  bytes.set(fixedPart([4, length], [2, type], [2, flags], [4, sequence], [4, 0]))
  bytes.set(fixed, headerBytes)
  let at = headerBytes + aligned(fixed.length)
  for (const [attribute, value] of attributes) {
    bytes.set(fixedPart([2, attributeBytes + value.length], [2, attribute]), at)
    bytes.set(value, at + attributeBytes)
    at += aligned(attributeBytes + value.length)
  }
  return bytes
}

/** The messages of a datagram. */
export function decode(datagram: Uint8Array): Message[] {
  const messages: Message[] = []
  for (let at = 0; at < datagram.length; ) {
    const length = readNumber(datagram, at, 4)
    if (length < headerBytes || at + length > datagram.length) {
      throw malformed(`a message of ${length} bytes at ${at} of ${datagram.length}`)
    }
    messages.push({
      type: readNumber(datagram, at + 4, 2),
      sequence: readNumber(datagram, at + 8, 4),
      body: datagram.subarray(at + headerBytes, at + length),
    })
    at += aligned(length)
  }
  return messages
}

/** The attributes after the fixed part, by type; the last of a type counts. */
export function attributesOf(body: Uint8Array, fixedBytes: number): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>()
  for (let at = aligned(fixedBytes); at < body.length; ) {
    const length = readNumber(body, at, 2)
    const type = readNumber(body, at + 2, 2) & typeMask
    if (length < attributeBytes || at + length > body.length) {
      throw malformed(`an attribute of ${length} bytes at ${at} of ${body.length}`)
    }
    attributes.set(type, body.subarray(at + attributeBytes, at + length))
    at += aligned(length)
  }
  return attributes
}

export function malformed(what: string): Error {
  return verbsError('EBADMSG', 'recvmsg', `the kernel's routing message makes no sense: ${what}`)
}

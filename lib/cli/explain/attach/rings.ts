/**
 * The rings of a running program, decoded. They are another process's, and were read while the device went on writing:
 * whatever is in them is a result, and no error.
 */

import {
  type DecodedEntry,
  type DecodeError,
  decodeCompletion,
  decodeDoorbell,
  decodeMiniCompletions,
  decodeReceiveRequest,
  decodeSendRequest,
  layout,
} from '../../../mlx5/index.js'
import type {
  CompletionQueueRing,
  QueuePairRings,
  QueueRings,
  RingStretch,
  Snapshot,
  WorkQueueRing,
} from '../../../mlx5/live.js'
import { parseHex } from '../../hex.js'

/** An entry of a ring. */
export interface RingEntry {
  /** Counter of the entry: of a request that of its first block. */
  index: number
  /** Its place in the ring. */
  slot: number
  /** The device has written it, and the program has not taken it yet. */
  waiting?: true
  entry: DecodedEntry
}

export interface DecodedRing {
  name: 'send queue' | 'receive queue' | 'completion queue'
  /** Entries of the whole ring, and bytes of one. */
  count: number
  stride: number
  /** Of the doorbell record: what lies before it was handed over, or taken. */
  counter: number
  /** The last ones, newest first; of a completion queue those that wait come first. */
  entries: RingEntry[]
  /** Why there are fewer than were asked for. */
  note?: string
}

export interface DecodedQueue {
  title: string
  kind: QueueRings['kind']
  device: string
  number: number
  type?: string
  record: DecodedEntry
  rings: DecodedRing[]
}

const hexNumber = (number: number) => `0x${number.toString(16).padStart(6, '0')}`
const bytesOf = ({ bytes }: RingStretch) => parseHex(bytes)

/** @param most of the last entries of each ring */
export function decodeSnapshot({ queues }: Snapshot, most: number): DecodedQueue[] {
  return queues.map((queue) => {
    if (queue.kind === 'queuePair') return decodeQueuePair(queue, most)
    if (queue.kind === 'workQueue') return decodeWorkQueue(queue, most)
    return decodeCompletionQueue(queue, queues, most)
  })
}

/** What a decoder says, and where the bytes are no entry: why. */
function decoded(bytes: Uint8Array, decode: () => DecodedEntry): DecodedEntry {
  try {
    return decode()
  } catch (error) {
    const { code, message } = error as DecodeError
    if (code !== 'ERR_IBVERBS_MLX5_DECODE') throw error
    return { title: `not decoded: ${message}`, bytes, segments: [] }
  }
}

function decodeQueuePair(queue: QueuePairRings, most: number): DecodedQueue {
  const { kind, device, number, type, completions } = queue
  const name = (number: number | null) => (number === null ? 'not taken' : hexNumber(number))
  const record = parseHex(queue.record)
  const rings = [sendQueue(queue, most)]
  if (queue.receive.count > 0) rings.push(receiveQueue(queue, most))
  return {
    title:
      `queue pair ${hexNumber(number)} (${type}) on ${device}, ` +
      `completion queues ${name(completions.send)} (send), ${name(completions.receive)} (receive)`,
    ...{ kind, device, number, type, rings },
    record: decoded(record, () => decodeDoorbell(record, 'workQueue')),
  }
}

/**
 * Requests from the newest on. Only a request's beginning tells its size: it is where a control segment of this queue pair has
 * its own counter and ends where the next one begins.
 */
function sendQueue({ send, number, type }: QueuePairRings, most: number): DecodedRing {
  const bytes = bytesOf(send)
  const view = new DataView(bytes.buffer)
  const { index, queuePairNumber, segments } = layout.controlSegment.fields
  const blocks = bytes.length / send.stride
  const begins = (block: number, end: number): boolean => {
    const at = block * send.stride
    const head = view.getUint32(at + index.offset)
    const size = view.getUint32(at + queuePairNumber.offset)
    const perBlock = layout.basicBlock / layout.segmentUnit
    return (
      ((head >>> index.low) & 0xffff) === ((send.first + block) & 0xffff) &&
      size >>> queuePairNumber.low === number &&
      Math.ceil((size & (2 ** (segments.high + 1) - 1)) / perBlock) === end - block
    )
  }
  const entries: RingEntry[] = []
  let end = blocks
  while (entries.length < most) {
    let block = end - 1
    while (block >= 0 && !begins(block, end)) block--
    if (block < 0) break
    const request = bytes.subarray(block * send.stride, end * send.stride)
    entries.push({
      ...placeOf(send, send.first + block, 0xffff),
      entry: decoded(request, () => decodeSendRequest(request, { type })),
    })
    end = block
  }
  return {
    ...{ name: 'send queue', count: send.count, stride: send.stride, entries },
    counter: (send.first + blocks) & 0xffff,
    ...(entries.length === 0 && {
      note:
        send.first + blocks === 0x10000
          ? 'no request was handed over'
          : 'no request ends where the doorbell record points',
    }),
  }
}

function decodeWorkQueue(queue: WorkQueueRing, most: number): DecodedQueue {
  const { kind, device, number, completions, striding } = queue
  const record = parseHex(queue.record)
  const cq = completions === null ? 'not taken' : hexNumber(completions)
  return {
    title: `work queue ${hexNumber(number)}${striding ? ' (striding)' : ''} on ${device}, completion queue ${cq}`,
    ...{ kind, device, number, rings: [receiveQueue(queue, most, striding)] },
    record: decoded(record, () => decodeDoorbell(record, 'workQueue')),
  }
}

function receiveQueue({ receive }: { receive: RingStretch }, most: number, head = false): DecodedRing {
  const { count, stride, first } = receive
  const bytes = bytesOf(receive)
  const length = bytes.length / stride
  const counter = (first + length) & 0xffff
  // A counter of this lap tells of this many; after its 2¹⁶ it begins anew.
  const posted = Math.min(most, length, counter)
  const entries = Array.from({ length: posted }, (_, back): RingEntry => {
    const at = length - 1 - back
    const request = bytes.subarray(at * stride, (at + 1) * stride)
    return {
      ...placeOf(receive, first + at, 0xffff),
      entry: decoded(request, () => decodeReceiveRequest(request, { head })),
    }
  })
  return {
    ...{ name: 'receive queue', count, stride, counter, entries },
    ...(posted === 0 && { note: 'no request was handed over' }),
  }
}

function decodeCompletionQueue(
  queue: CompletionQueueRing,
  others: readonly QueueRings[],
  most: number,
): DecodedQueue {
  const { kind, device, number } = queue
  const record = parseHex(queue.record)
  return {
    title: `completion queue ${hexNumber(number)} on ${device}`,
    ...{ kind, device, number },
    record: decoded(record, () => decodeDoorbell(record, 'completionQueue')),
    rings: [completions(queue, others, most)],
  }
}

function completions(
  { ring, compression, device, number }: CompletionQueueRing,
  others: readonly QueueRings[],
  most: number,
): DecodedRing {
  const { count, stride, first } = ring
  const bytes = bytesOf(ring)
  const length = bytes.length / stride
  const taken = length / 2
  const counter = (first + taken) & 0xffffff
  const { opcode, owner, format } = layout.otherCqe.fields
  const start = stride - layout.cqeLength
  const at = (place: number) => bytes.subarray(place * stride, (place + 1) * stride)
  const last = (place: number) => bytes[place * stride + start + opcode.offset]
  const isThere = (place: number): boolean => {
    const lap = Math.floor(((first + place) & 0xffffff) / count) & 1
    return (
      last(place) >>> opcode.low !== layout.CqeOpcode.INVALID &&
      (last(place) & (2 ** (owner.high + 1) - 1)) === lap
    )
  }
  const view = new DataView(bytes.buffer)
  const here = others.filter((each) => each.device === device)
  const users = here.flatMap((each) =>
    each.kind === 'queuePair' && (each.completions.send === number || each.completions.receive === number)
      ? [each]
      : [],
  )
  const workQueue = here.find((each) => each.kind === 'workQueue' && each.completions === number)
  const striding = workQueue?.kind === 'workQueue' && workQueue.striding
  /** Of a frame's completion the place of the number holds the flow tag: it tells nothing unless users differ. */
  const typeOf = (place: number) => {
    const field = layout.responderCqe.fields.queuePairNumber
    const pair = view.getUint32(place * stride + start + field.offset) & 0xffffff
    const user = users.find((each) => each.number === pair) ?? users[0]
    // What comes to a work queue are frames.
    return user?.type ?? (workQueue ? 'RAW_PACKET' : 'RC')
  }
  const read = (place: number): RingEntry => ({
    ...placeOf(ring, first + place, 0xffffff),
    entry: decoded(at(place), () => decodeCompletion(at(place), { type: typeOf(place), striding })),
  })

  const waiting: RingEntry[] = []
  for (let place = taken; place < length && isThere(place); ) {
    waiting.push({ ...read(place), waiting: true })
    const mode = (last(place) >>> format.low) & 3
    if (mode !== layout.CqeFormat.COMPRESSED || compression === undefined) {
      place++
      continue
    }
    // A session: eight mini completions lie behind the title, the next eight entries behind it, and so on.
    const many = view.getUint32(place * stride + start + layout.frameCqe.fields.byteCount.offset)
    for (let mini = 0; mini < many && place + Math.max(1, mini) < length; mini += 8) {
      const holder = place + Math.max(1, mini)
      const minis = at(holder).subarray(start)
      const few = Math.min(8, many - mini)
      waiting.push({
        ...placeOf(ring, first + holder, 0xffffff),
        waiting: true,
        entry: decoded(minis, () => decodeMiniCompletions(minis, compression, few)),
      })
    }
    place += Math.max(1, many)
  }
  const old: RingEntry[] = []
  let covered = 0
  for (let place = taken - 1; place >= 0 && old.length < most; place--) {
    if (last(place) >>> opcode.low !== layout.CqeOpcode.INVALID) old.push(read(place))
    else if (compression !== undefined && counter >= taken - place) covered++
  }
  const note =
    counter === 0 && waiting.length + old.length === 0
      ? 'no entry was written yet'
      : covered > 0
        ? `${covered} of the last entries told of compressed completions, and are marked invalid`
        : undefined
  return {
    ...{ name: 'completion queue', count, stride, counter, entries: [...waiting.reverse(), ...old] },
    ...(note !== undefined && { note }),
  }
}

const placeOf = ({ count }: RingStretch, index: number, mask: number) => ({
  index: index & mask,
  slot: index & (count - 1),
})

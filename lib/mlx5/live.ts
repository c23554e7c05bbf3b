/**
 * The rings that programs of this thread drive, for whoever looks at them (lib/control). Kept are numbers and a weak
 * reference: nobody's memory lives longer for it.
 */
import { Kind, native } from '../native.js'
import type { QueuePairType } from '../verbs/constants.js'
import type { CompressionFormatName } from './device.js'
import type { DirectRing } from './direct-ring.js'
import { basicBlock } from './layout/names.js'

/** Where a ring lies in its memory, in bytes. */
interface Place {
  offset: number
  count: number
  stride: number
  /** The doorbell record's word. */
  record: number
}

interface Live {
  handle: number
  kind: Kind
  device: string
  number: number
  memory: WeakRef<SharedArrayBuffer>
}

interface LiveQueuePair extends Live {
  type: QueuePairType
  /** Handles of its completion queues. */
  completions: { send: number; receive: number }
  send: Place
  receive: Place
}

interface LiveWorkQueue extends Live {
  ring: Place
  /** Handle of its completion queue. */
  completions: number
  striding: boolean
}

interface LiveCompletionQueue extends Live {
  ring: Place
  compression: CompressionFormatName | undefined
}

/** A stretch of a ring: whole entries, in hexadecimal digits. */
export interface RingStretch {
  /** Entries of the whole ring, and bytes of one. */
  count: number
  stride: number
  /** Counter of the first entry here: as wide as the doorbell record has it. */
  first: number
  bytes: string
}

export interface QueuePairRings {
  kind: 'queuePair'
  device: string
  number: number
  type: QueuePairType
  /** Numbers of its completion queues, as far as their rings were taken too. */
  completions: { send: number | null; receive: number | null }
  /** The doorbell record. */
  record: string
  /** Blocks of 64 bytes before the counter of the doorbell record: a request has 1 to 16. */
  send: RingStretch
  /** Requests before the counter. */
  receive: RingStretch
}

/** A receive queue of its own, behind an indirection table: frames come to it (MLX5DV_OBJ_RWQ). */
export interface WorkQueueRing {
  kind: 'workQueue'
  device: string
  number: number
  /** Number of its completion queue, if that was taken too. */
  completions: number | null
  /** A request begins with a next segment. */
  striding: boolean
  record: string
  /** Requests before the counter of the doorbell record. */
  receive: RingStretch
}

export interface CompletionQueueRing {
  kind: 'completionQueue'
  device: string
  number: number
  record: string
  compression?: CompressionFormatName
  /** Entries before and behind the doorbell record's consumer index. */
  ring: RingStretch
}

export type QueueRings = QueuePairRings | WorkQueueRing | CompletionQueueRing

/** What the rings of a thread held when its event loop had a moment. The device goes on writing while they are read. */
export interface Snapshot {
  queues: QueueRings[]
  /** Queues that an answer had no room for. */
  omitted: number
}

/** The most blocks of a send request: the six bits of its size count segments, of which a block has four. */
const mostBlocks = 16
/** Digits of all rings in an answer, which has a mebibyte (lib/control/protocol.ts). */
const mostDigits = 900_000

const pairs = new Set<LiveQueuePair>()
const workQueues = new Set<LiveWorkQueue>()
const queues = new Set<LiveCompletionQueue>()
/** At how many the closed ones are looked for. */
let limit = 64

const placeOf = ({ bytes, stride, count, record }: DirectRing): Place => ({
  ...{ stride, count },
  offset: bytes.byteOffset,
  record: record.byteOffset,
})

function isLive({ memory, handle, kind }: Live): boolean {
  return memory.deref() !== undefined && native.isOpen(handle, kind)
}

const liveCount = () => pairs.size + workQueues.size + queues.size

function prune(): void {
  for (const all of [pairs, workQueues, queues])
    for (const each of all) if (!isLive(each)) all.delete(each as never)
  limit = Math.max(64, 2 * liveCount())
}

function pruneSometimes(): void {
  if (liveCount() >= limit) prune()
}

/** A queue pair's rings were taken. */
export function rememberQueuePair(
  queue: Pick<LiveQueuePair, 'handle' | 'device' | 'number' | 'type' | 'completions'>,
  { send, receive }: { send: DirectRing; receive: DirectRing },
): void {
  pruneSometimes()
  const memory = new WeakRef(send.bytes.buffer)
  pairs.add({ ...queue, kind: Kind.QueuePair, memory, send: placeOf(send), receive: placeOf(receive) })
}

/** A work queue's ring was taken. */
export function rememberWorkQueue(
  queue: Pick<LiveWorkQueue, 'handle' | 'device' | 'number' | 'completions' | 'striding'>,
  ring: DirectRing,
): void {
  pruneSometimes()
  const memory = new WeakRef(ring.bytes.buffer)
  workQueues.add({ ...queue, kind: Kind.WorkQueue, memory, ring: placeOf(ring) })
}

/** A completion queue's ring was taken. */
export function rememberCompletionQueue(
  queue: Pick<LiveCompletionQueue, 'handle' | 'device' | 'number' | 'compression'>,
  ring: DirectRing,
): void {
  pruneSometimes()
  const memory = new WeakRef(ring.bytes.buffer)
  queues.add({ ...queue, kind: Kind.CompletionQueue, memory, ring: placeOf(ring) })
}

/**
 * The rings as they are now.
 *
 * @param entries how many of the last requests and completions of each
 */
export function snapshot(entries: number): Snapshot {
  // Without a queue nobody may have loaded the addon.
  if (liveCount() > 0) prune()
  const taken: Snapshot = { queues: [], omitted: 0 }
  let digits = 0
  const add = (queue: QueueRings): void => {
    const stretches =
      queue.kind === 'queuePair'
        ? [queue.send, queue.receive]
        : [queue.kind === 'workQueue' ? queue.receive : queue.ring]
    const more = stretches.reduce((sum, { bytes }) => sum + bytes.length, 0)
    if (digits + more > mostDigits) {
      taken.omitted++
      return
    }
    digits += more
    taken.queues.push(queue)
  }
  for (const pair of pairs) {
    const memory = pair.memory.deref()
    if (memory) add(queuePairRings(pair, memory, entries))
  }
  for (const queue of workQueues) {
    const memory = queue.memory.deref()
    if (memory) add(workQueueRing(queue, memory, entries))
  }
  for (const queue of queues) {
    const memory = queue.memory.deref()
    if (memory) add(completionQueueRing(queue, memory, entries))
  }
  return taken
}

function queuePairRings(pair: LiveQueuePair, memory: SharedArrayBuffer, entries: number): QueuePairRings {
  const { device, number, type, send, receive } = pair
  const view = new DataView(memory)
  // MLX5_RCV_DBR and MLX5_SND_DBR: the counters are the lower 16 bits.
  const [received, sent] = [receive, send].map(({ record }) => view.getUint32(record) & 0xffff)
  const blocks = Math.min(send.count, entries * mostBlocks)
  const requests = Math.min(receive.count, entries)
  return {
    kind: 'queuePair',
    ...{ device, number, type },
    completions: { send: numberOf(pair.completions.send), receive: numberOf(pair.completions.receive) },
    record: hex(memory, receive.record, 8),
    send: stretch(memory, { ...send, stride: basicBlock }, sent, -blocks, 0, 0xffff),
    receive: stretch(memory, receive, received, -requests, 0, 0xffff),
  }
}

function workQueueRing(queue: LiveWorkQueue, memory: SharedArrayBuffer, entries: number): WorkQueueRing {
  const { device, number, striding, ring } = queue
  const received = new DataView(memory).getUint32(ring.record) & 0xffff
  return {
    kind: 'workQueue',
    ...{ device, number, striding, completions: numberOf(queue.completions) },
    record: hex(memory, ring.record, 8),
    receive: stretch(memory, ring, received, -Math.min(ring.count, entries), 0, 0xffff),
  }
}

function numberOf(handle: number): number | null {
  for (const queue of queues) if (queue.handle === handle) return queue.number
  return null
}

function completionQueueRing(
  queue: LiveCompletionQueue,
  memory: SharedArrayBuffer,
  entries: number,
): CompletionQueueRing {
  const { device, number, compression, ring } = queue
  // MLX5_CQ_SET_CI
  const consumer = new DataView(memory).getUint32(ring.record) & 0xffffff
  const most = Math.min(entries, ring.count >> 1)
  return {
    kind: 'completionQueue',
    ...{ device, number, compression },
    record: hex(memory, ring.record, 8),
    ring: stretch(memory, ring, consumer, -most, most, 0xffffff),
  }
}

/** The entries from `counter + from` to `counter + to`. */
function stretch(
  memory: SharedArrayBuffer,
  { offset, count, stride }: Place,
  counter: number,
  from: number,
  to: number,
  mask: number,
): RingStretch {
  let bytes = ''
  for (let each = counter + from; each < counter + to; each++) {
    bytes += hex(memory, offset + (each & (count - 1)) * stride, stride)
  }
  return { count, stride, first: (counter + from) & mask, bytes }
}

/** At once: what is written meanwhile may be in it or not. */
function hex(memory: SharedArrayBuffer, offset: number, length: number): string {
  return Buffer.from(memory, offset, length).toString('hex')
}

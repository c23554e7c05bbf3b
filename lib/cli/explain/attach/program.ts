/** Asks a running program for its rings. */
import { ask } from '../../../control/client.js'
import { controlError } from '../../../control/error.js'
import { nameOf, threadsOf } from '../../../control/programs.js'
import type { RingStretch, Snapshot } from '../../../mlx5/live.js'
import { queuePairTypes } from '../../../verbs/constants.js'
import { type DecodedQueue, decodeSnapshot } from './rings.js'

/** A thread's rings. */
export interface ThreadRings {
  pid: number
  thread: number
  queues: DecodedQueue[]
  /** Queues that its answer had no room for. */
  omitted: number
}

/**
 * The rings of every thread of a program that can be asked.
 *
 * @param entries of the last ones of each ring
 * @throws Error ERR_IBVERBS_CONTROL in words
 */
export async function ringsOf(pid: number, entries: number): Promise<ThreadRings[]> {
  const threads: ThreadRings[] = []
  for (const socket of threadsOf(pid)) {
    const { answer } = await ask(socket.path, nameOf(socket), { ask: 'rings', entries })
    if (!isSnapshot(answer)) throw controlError(`${nameOf(socket)} answered with what are no rings`)
    const { thread } = socket
    threads.push({ pid, thread, queues: decodeSnapshot(answer, entries), omitted: answer.omitted })
  }
  return threads
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0
const isHex = (value: unknown, digits: number) =>
  typeof value === 'string' && value.length === digits && /^[\da-f]*$/.test(value)

/** Whether what another process sent has the shape that the decoder relies on; its bytes may be anything. */
function isSnapshot(value: unknown): value is Snapshot {
  if (!isObject(value) || !isCount(value.omitted) || !Array.isArray(value.queues)) return false
  return value.queues.every((queue: unknown) => {
    if (!isObject(queue) || typeof queue.device !== 'string' || !isCount(queue.number)) return false
    if (!isHex(queue.record, 16)) return false
    if (queue.kind === 'queuePair') {
      return (
        queuePairTypes.includes(queue.type as never) &&
        isObject(queue.completions) &&
        isStretch(queue.send, [64]) &&
        isStretch(queue.receive)
      )
    }
    if (queue.kind === 'workQueue') return typeof queue.striding === 'boolean' && isStretch(queue.receive)
    const { kind, compression } = queue
    const formats = [undefined, 'HASH', 'CSUM', 'CSUM_STRIDX']
    return (
      kind === 'completionQueue' && formats.includes(compression as never) && isStretch(queue.ring, [64, 128])
    )
  })
}

/** Entries of the send queue have 64 bytes, of a completion queue 64 or 128, of a receive queue a multiple of 16. */
function isStretch(value: unknown, strides?: readonly number[]): value is RingStretch {
  if (!isObject(value)) return false
  const { count, stride, first, bytes } = value
  if (!isCount(count) || !isCount(stride) || !isCount(first) || typeof bytes !== 'string') return false
  if (count === 0) return bytes === ''
  if (Math.log2(count as number) % 1 !== 0 || stride === 0 || (stride as number) % 16 !== 0) return false
  const digits = 2 * (stride as number)
  return (
    (strides?.includes(stride as number) ?? true) && bytes.length % digits === 0 && isHex(bytes, bytes.length)
  )
}

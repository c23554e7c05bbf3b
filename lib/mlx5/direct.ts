import { integer, typeError } from '../argument.js'
import { directError, verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import { native } from '../native.js'
import { CompletionQueue } from '../verbs/completion-queue.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { WorkQueue } from '../verbs/work-queue.js'
import type { WaitOptions } from '../wait-options.js'
import { compressionOf, ringMemoryOf } from './create.js'
import type { DirectRing } from './direct-ring.js'
import { rememberCompletionQueue, rememberQueuePair, rememberWorkQueue } from './live.js'
import { receiveMask, recordSetter } from './record.js'
import type { RingMemory } from './ring-memory.js'
import { completionRing, type QueuePairRings, queuePairRings, ringAt } from './rings.js'
import { ringMemoryOfWorkQueue } from './work-queue.js'

export type { DirectRing }

/** A queue pair whose rings are the caller's. */
export interface DirectQueuePair {
  /** In units of 64 bytes (MLX5_SEND_WQE_BB). */
  readonly send: DirectRing
  /**
   * Empty where the queue pair has a shared receive queue or none. Of RC and UC a message of up to 32 bytes (64 with CQEs
   * of 128 bytes) comes in its completion, and not in the memory that a receive names, unless the environment has
   * MLX5_SCATTER_TO_CQE=0 (mlx5dv(7)).
   */
  readonly receive: DirectRing
  /** Number of the queue pair. */
  readonly number: number
  /** Bytes of half the register: so many of a request can be copied there. 0: none, eight bytes only. */
  readonly blueFlame: number
  /**
   * Tells the device of sends, in the order that it must have: the requests are visible, then the doorbell record, then
   * the register. One native call a batch.
   *
   * @param producer counter of 64-byte blocks behind the last request, modulo 2¹⁶
   * @param last counter of the last request's first block, modulo 2¹⁶
   * @param copied of a request alone in its batch, whose data are inline: its bytes, rounded up to 64, at most
   *   {@link blueFlame}. They are written to the register, which saves the device a read (BlueFlame)
   * @throws Error ERR_IBVERBS_CLOSED
   */
  ringSend(producer: number, last: number, copied?: number): void
  /** Tells the device of receives: their counter, modulo 2¹⁶. Only memory is written. */
  publishReceives(producer: number): void
}

/**
 * A work queue whose ring is the caller's. A request is a list of data segments; of a striding queue it begins with a next
 * segment (layout.nextSegment).
 */
export interface DirectWorkQueue extends DirectRing {
  /** Number of the work queue. */
  readonly number: number
  /** Tells the device of requests: their counter, modulo 2¹⁶. Only memory is written. */
  publishReceives(producer: number): void
}

/** A completion queue whose ring is the caller's. */
export interface DirectCompletionQueue extends DirectRing {
  /** Number of the completion queue. */
  readonly number: number
  /** Tells the device which entries may be overwritten: how many were taken so far, modulo 2²⁴. Only memory is written. */
  setConsumerIndex(index: number): void
  /**
   * Asks for an event at the next completion, or the next that is solicited or failed: the arm record, then the register.
   * {@link event} waits for it.
   *
   * @param sequence one more with each event that was taken, modulo 4
   * @param index as in {@link setConsumerIndex}
   * @throws Error ERR_IBVERBS_CLOSED
   */
  arm(sequence: number, index: number, solicitedOnly?: boolean): void
  /**
   * Resolves at the next event of this queue (ibv_get_cq_event(3)), or at once if one has come since the last call: one for
   * each arming, at most. Keeps the process alive, as `wait` does.
   *
   * @throws Error ERR_IBVERBS_BUSY if another call is pending, ERR_IBVERBS_CLOSED
   */
  event(options?: WaitOptions): Promise<void>
}

/**
 * Hands over the rings of a queue that {@link createQueuePair}, {@link createCompletionQueue} or {@link createWorkQueue} of
 * this module created. From
 * here on the caller is the driver, with no way back: `post`, `submit`, `poll` and `wait` throw ERR_IBVERBS_DIRECT, as a second
 * direct() does. The queue is closed as before; after that the memory stays readable, and what is written there goes nowhere.
 *
 * @throws Error ERR_IBVERBS_DIRECT at the second time, ERR_IBVERBS_CLOSED; VerbsError EINVAL for a queue that others created,
 *   whose rings libmlx5 keeps
 */
export function direct(queue: QueuePair): DirectQueuePair
export function direct(queue: CompletionQueue): DirectCompletionQueue
export function direct(queue: WorkQueue): DirectWorkQueue
export function direct(
  queue: QueuePair | CompletionQueue | WorkQueue,
): DirectQueuePair | DirectCompletionQueue | DirectWorkQueue {
  if (queue instanceof QueuePair) return takeQueuePair(queue).rings
  if (queue instanceof CompletionQueue) return takeCompletionQueue(queue)
  if (queue instanceof WorkQueue) return takeWorkQueue(queue)
  throw typeError('queue', 'a QueuePair, a CompletionQueue or a WorkQueue', queue)
}

function memoryOf(queue: QueuePair | CompletionQueue, creator: string): RingMemory {
  const memory = ringMemoryOf(queue)
  if (memory) return memory
  throw verbsError(
    'EINVAL',
    'mlx5dv_init_obj',
    `libmlx5 keeps the rings of a queue that ibverbs/mlx5's ${creator} did not create`,
  )
}

/**
 * {@link direct}, and the bell behind `ringSend`.
 *
 * @internal
 */
export function takeQueuePair(pair: QueuePair): QueuePairRings {
  const memory = memoryOf(pair, 'createQueuePair')
  const handle = idOf('queue', pair, QueuePair)
  pair.handOver()
  const both = queuePairRings(memory, handle, pair.number)
  const { number, type, domain } = pair
  const completions = {
    send: idOf('sendCq', pair.sendCq, CompletionQueue),
    receive: idOf('receiveCq', pair.receiveCq, CompletionQueue),
  }
  rememberQueuePair({ handle, number, type, device: domain.context.name, completions }, both.rings)
  return both
}

const takenWorkQueues = new WeakSet<WorkQueue>()

/** {@link direct} of a work queue. @internal */
export function takeWorkQueue(queue: WorkQueue): DirectWorkQueue {
  const handle = idOf('queue', queue, WorkQueue)
  if (takenWorkQueues.has(queue)) throw directError('work queue')
  takenWorkQueues.add(queue)
  const { record, ...place } = native.mlx5.takeWorkQueue(handle)
  // MLX5_RCV_DBR, mlx5dv.h.
  const ring = ringAt(ringMemoryOfWorkQueue(queue) as RingMemory, place, record)
  const setReceives = recordSetter(ring.record, receiveMask)
  const { number, cq, striding, domain } = queue
  const completions = idOf('cq', cq, CompletionQueue)
  rememberWorkQueue(
    { handle, number, device: domain.context.name, completions, striding: striding !== null },
    ring,
  )
  return {
    ...ring,
    number: queue.number,
    publishReceives(producer) {
      setReceives(integer('producer', producer, 0, receiveMask))
    },
  }
}

/** {@link direct} of a completion queue. @internal */
export function takeCompletionQueue(queue: CompletionQueue): DirectCompletionQueue {
  const memory = memoryOf(queue, 'createCompletionQueue')
  const handle = idOf('queue', queue, CompletionQueue)
  queue.handOver()
  const { ring } = completionRing(memory, handle)
  const { number } = ring
  rememberCompletionQueue(
    { handle, number, device: queue.context.name, compression: compressionOf(queue) },
    ring,
  )
  return { ...ring, event: (options) => queue.nextEvent(options) }
}

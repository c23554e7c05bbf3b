import { integer, typeError } from '../argument.js'
import { directError, verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import { native } from '../native.js'
import { CompletionQueue } from '../verbs/completion-queue.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { WorkQueue } from '../verbs/work-queue.js'
import { compressionOf, ringMemoryOf } from './create.js'
import type { DirectCompletionQueue, DirectQueuePair, DirectRing, DirectWorkQueue } from './direct-ring.js'
import { rememberCompletionQueue, rememberQueuePair, rememberWorkQueue } from './live.js'
import { receiveMask, recordSetter } from './record.js'
import type { RingMemory } from './ring-memory.js'
import { type CompletionRing, completionRing, type QueuePairRings, queuePairRings, ringAt } from './rings.js'
import { ringMemoryOfWorkQueue } from './work-queue.js'

export type { DirectCompletionQueue, DirectQueuePair, DirectRing, DirectWorkQueue }

/**
 * Hands over the rings of a queue that {@link createQueuePair}, {@link createCompletionQueue} or {@link createWorkQueue} of
 * this module created. From here on the caller is the driver, with no way back: `post`, `submit`, `poll` and `wait` throw
 * ERR_IBVERBS_DIRECT, as a second direct() does. The queue is closed as before; after that the memory stays readable, and
 * what is written there goes nowhere.
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
  if (queue instanceof CompletionQueue) {
    return { ...takeCompletionQueue(queue).ring, event: (options) => queue.nextEvent(options) }
  }
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

/** {@link direct}, and the words behind `arm`. @internal */
export function takeCompletionQueue(queue: CompletionQueue): CompletionRing {
  const memory = memoryOf(queue, 'createCompletionQueue')
  const handle = idOf('queue', queue, CompletionQueue)
  queue.handOver()
  const both = completionRing(memory, handle)
  const { number } = both.ring
  rememberCompletionQueue(
    { handle, number, device: queue.context.name, compression: compressionOf(queue) },
    both.ring,
  )
  return both
}

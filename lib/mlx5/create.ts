/** Queue pairs and completion queues whose rings lie in memory that JavaScript sees: what {@link direct} needs. */
import { integer, type Names, options as optionsOf } from '../argument.js'
import { idOf } from '../handle.js'
import type { CompletionQueue } from '../verbs/completion-queue.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import type { QueuePairOptions } from '../verbs/queue-pair/options.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { RingMemory } from './ring-memory.js'
import { assertSupported } from './supported.js'

/** Options of {@link createCompletionQueue}. */
export interface Mlx5CompletionQueueOptions {
  /** Maximum number of completions that one poll returns; 64 by default. */
  batch?: number
}
const completionQueueOptionNames = { batch: true } as const satisfies Names<Mlx5CompletionQueueOptions>

const page = 4096
/** Bytes of the largest request that libmlx5 makes room for with one element and nothing inline. */
const largeRequest = 128

const memories = new WeakMap<QueuePair | CompletionQueue, RingMemory>()

/** The memory of a queue that this file created; undefined for any other. */
export const ringMemoryOf = (queue: QueuePair | CompletionQueue): RingMemory | undefined =>
  memories.get(queue)

/**
 * Creates a completion queue as `Context.createCompletionQueue` does, with its ring in memory that {@link direct} can
 * show.
 *
 * @param domain any protection domain of the context: libmlx5 allocates the ring by way of it
 * @param entries at least so many
 * @throws VerbsError ENOTSUP for a device that is no ConnectX
 */
export function createCompletionQueue(
  domain: ProtectionDomain,
  entries: number,
  options?: Mlx5CompletionQueueOptions,
): CompletionQueue {
  const handle = idOf('domain', domain, ProtectionDomain)
  const { context } = domain
  assertSupported(context)
  integer('entries', entries, 1, context.limits.maxCqe)
  const { batch = 64 } = optionsOf('options', options, completionQueueOptionNames)
  integer('options.batch', batch, 1, 1 << 20)
  const memory = new RingMemory(2 * 64 * entries + 2 * page)
  const queue = context.createCompletionQueueOver(entries, batch, { domain: handle, rings: memory.place })
  memories.set(queue, memory)
  return queue
}

/**
 * Creates a queue pair as {@link ProtectionDomain.createQueuePair} does, with its rings in memory that {@link direct} can
 * show, and with a register of its own (ibv_alloc_td(3)): nobody else rings there.
 *
 * @throws VerbsError ENOTSUP for a device that is no ConnectX
 */
export function createQueuePair(domain: ProtectionDomain, options: QueuePairOptions): QueuePair {
  const handle = idOf('domain', domain, ProtectionDomain)
  assertSupported(domain.context)
  const { maxSendWr = 64, maxReceiveWr = 64 } = options ?? {}
  const guess = (Number(maxSendWr) * largeRequest + Number(maxReceiveWr) * 64) * 2 + 4 * page
  const memory = new RingMemory(Number.isSafeInteger(guess) && guess > 0 && guess < 2 ** 30 ? guess : page)
  const pair = QueuePair.create(domain, handle, options, memory.place)
  memories.set(pair, memory)
  return pair
}

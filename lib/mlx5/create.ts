/** Queue pairs and completion queues whose rings lie in memory that JavaScript sees: what {@link direct} needs. */
import { idOf } from '../handle.js'
import type { CompletionQueue, CompletionQueueOptions } from '../verbs/completion-queue.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import type { QueuePairOptions } from '../verbs/queue-pair/options.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { CompressionFormat, type CompressionFormatName } from './device.js'
import { RingMemory } from './ring-memory.js'
import { assertSupported } from './supported.js'

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
  options?: CompletionQueueOptions,
): CompletionQueue {
  return createCompressed(domain, entries, options, undefined)
}

/**
 * {@link createCompletionQueue}, with completions compressed in this format: only who takes the ring ({@link direct}) can
 * read them.
 *
 * @internal
 */
export function createCompressed(
  domain: ProtectionDomain,
  entries: number,
  options: CompletionQueueOptions | undefined,
  format: CompressionFormatName | undefined,
): CompletionQueue {
  const handle = idOf('domain', domain, ProtectionDomain)
  assertSupported(domain.context)
  const memory = new RingMemory()
  const place = {
    ...{ domain: handle, rings: memory.place },
    ...(format && { format: CompressionFormat[format] }),
  }
  const queue = domain.context.createCompletionQueueAt(place, entries, options)
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
  const memory = new RingMemory()
  const pair = QueuePair.create(domain, handle, options, memory.place)
  memories.set(pair, memory)
  return pair
}

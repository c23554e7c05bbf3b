/** Queue pairs and completion queues whose rings lie in memory that JavaScript sees: what {@link direct} needs. */
import { boolean, type Names, object, oneOf, options as optionsOf, rangeError } from '../argument.js'
import { idOf } from '../handle.js'
import {
  type CompletionQueue,
  type CompletionQueueOptions,
  completionQueueOptionNames,
} from '../verbs/completion-queue.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import { type QueuePairOptions, queuePairOptionNames } from '../verbs/queue-pair/options.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { CompressionFormat, type CompressionFormatName, compressionFormats } from './device.js'
import { RingMemory } from './ring-memory.js'
import { assertSupported } from './supported.js'

const memories = new WeakMap<QueuePair | CompletionQueue, RingMemory>()

/** The memory of a queue that this file created; undefined for any other. */
export const ringMemoryOf = (queue: QueuePair | CompletionQueue): RingMemory | undefined =>
  memories.get(queue)

const compressions = new WeakMap<CompletionQueue, CompressionFormatName>()

/** How the completions of a queue that this file created may be compressed. */
export const compressionOf = (queue: CompletionQueue): CompressionFormatName | undefined =>
  compressions.get(queue)

/** Options of {@link createCompletionQueue}: mlx5dv_create_cq(3). */
export interface Mlx5CompletionQueueOptions extends CompletionQueueOptions {
  /** Bytes of an entry. By default 64, or what MLX5_CQE_SIZE says in the environment (mlx5dv(7)). */
  entryBytes?: 64 | 128
  /**
   * Completions of frames and messages may come compressed, in one of the formats of {@link Mlx5Device.compression}
   * (MLX5DV_CQ_INIT_ATTR_MASK_COMPRESSED_CQE): several under one title entry. libibverbs cannot read them: only who takes the
   * ring with {@link direct} can, and polls and waits throw ERR_IBVERBS_DIRECT from the beginning. Default: none.
   */
  compression?: CompressionFormatName
  /**
   * The device writes entries of 128 bytes whole, so that no line of the cache is read for them
   * (MLX5DV_CQ_INIT_ATTR_FLAGS_CQE_PAD). Default false.
   */
  padded?: boolean
  /**
   * Each completion has its own time (IBV_WC_EX_WITH_COMPLETION_TIMESTAMP). A card stamps them all in any case; the software
   * ConnectX reads a clock for each where that is asked for, and else gives all of one step the same time. Default false.
   */
  timestamps?: boolean
}
const completionQueueNames = {
  ...completionQueueOptionNames,
  entryBytes: true,
  compression: true,
  padded: true,
  timestamps: true,
} as const satisfies Names<Mlx5CompletionQueueOptions>

/** Options of {@link createQueuePair}: mlx5dv_create_qp(3). */
export interface Mlx5QueuePairOptions extends QueuePairOptions {
  /**
   * RC, UC: whether a short message may come in its completion instead of in memory
   * (MLX5DV_QP_CREATE_ALLOW_SCATTER_TO_CQE, _DISABLE_SCATTER_TO_CQE). By default what MLX5_SCATTER_TO_CQE says in the
   * environment: yes, for messages of completions that the device knows to be signalled.
   */
  scatterToCqe?: boolean
}

const queuePairNames = {
  ...queuePairOptionNames,
  scatterToCqe: true,
} as const satisfies Names<Mlx5QueuePairOptions>

/** mlx5dv_qp_create_flags */
const scatterFlags = { disable: 1 << 3, allow: 1 << 4 } as const

/**
 * Creates a completion queue as `Context.createCompletionQueue` does, with its ring in memory that {@link direct} can
 * show.
 *
 * @param domain any protection domain of the context: libmlx5 allocates the ring by way of it
 * @param entries at least so many
 * @throws VerbsError ENOTSUP for a device that is no ConnectX; EINVAL for options that it does not know
 */
export function createCompletionQueue(
  domain: ProtectionDomain,
  entries: number,
  options?: Mlx5CompletionQueueOptions,
): CompletionQueue {
  const handle = idOf('domain', domain, ProtectionDomain)
  const {
    entryBytes,
    compression,
    padded = false,
    timestamps = false,
    ...rest
  } = optionsOf('options', options, completionQueueNames)
  if (entryBytes !== undefined && entryBytes !== 64 && entryBytes !== 128) {
    throw rangeError('options.entryBytes', '64 or 128', entryBytes)
  }
  if (compression !== undefined) oneOf('options.compression', compression, compressionFormats)
  boolean('options.padded', padded)
  boolean('options.timestamps', timestamps)
  assertSupported(domain.context)
  const memory = new RingMemory()
  const card = {
    entryBytes: entryBytes ?? 0,
    format: compression === undefined ? 0 : CompressionFormat[compression],
    padded: padded ? 1 : 0,
    timestamps: timestamps ? 1 : 0,
  }
  const place = { domain: handle, rings: memory.place, card }
  const queue = domain.context.createCompletionQueueAt(place, entries, rest)
  memories.set(queue, memory)
  if (compression !== undefined) compressions.set(queue, compression)
  return queue
}

/**
 * Creates a queue pair as {@link ProtectionDomain.createQueuePair} does, with its rings in memory that {@link direct} can
 * show, and with a register of its own (ibv_alloc_td(3)): nobody else rings there.
 *
 * @throws VerbsError ENOTSUP for a device that is no ConnectX
 */
export function createQueuePair(domain: ProtectionDomain, options: Mlx5QueuePairOptions): QueuePair {
  const handle = idOf('domain', domain, ProtectionDomain)
  const { scatterToCqe, ...rest } = object('options', options, 'an object', queuePairNames)
  if (scatterToCqe !== undefined) boolean('options.scatterToCqe', scatterToCqe)
  assertSupported(domain.context)
  const memory = new RingMemory()
  const createFlags =
    scatterToCqe === undefined ? 0 : scatterToCqe ? scatterFlags.allow : scatterFlags.disable
  const pair = QueuePair.create(domain, handle, rest, { rings: memory.place, createFlags })
  memories.set(pair, memory)
  return pair
}

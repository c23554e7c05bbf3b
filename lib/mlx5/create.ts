/** Queue pairs and completion queues whose rings lie in memory that JavaScript sees: what {@link direct} needs. */
import { boolean, integer, type Names, object, oneOf, options as optionsOf, rangeError } from '../argument.js'
import { verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import {
  type CompletionQueue,
  type CompletionQueueOptions,
  completionQueueOptionNames,
} from '../verbs/completion-queue.js'
import { QueuePairTypes } from '../verbs/constants.js'
import type { Context } from '../verbs/context.js'
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
}
const completionQueueNames = {
  ...completionQueueOptionNames,
  entryBytes: true,
  compression: true,
  padded: true,
} as const satisfies Names<Mlx5CompletionQueueOptions>

/** Options of {@link createQueuePair}: mlx5dv_create_qp(3). */
export interface Mlx5QueuePairOptions extends QueuePairOptions {
  /**
   * RC, UC: whether a short message may come in its completion instead of in memory
   * (MLX5DV_QP_CREATE_ALLOW_SCATTER_TO_CQE, _DISABLE_SCATTER_TO_CQE). By default what MLX5_SCATTER_TO_CQE says in the
   * environment: yes, for messages of completions that the device knows to be signalled.
   */
  scatterToCqe?: boolean
  /**
   * RAW_PACKET: bytes of the headers, from the Ethernet header on, that may lie in front of what the device cuts into
   * segments (TSO; max_tso_header of ibv_create_qp_ex(3)), 0 to 65535. The send queue has room for `maxSendWr` such
   * requests. Default 0: none.
   */
  maxTsoHeader?: number
  /**
   * RAW_PACKET: the device takes the VLAN tag (0x8100) out of a received frame and tells it in the completion
   * (IBV_QP_CREATE_CVLAN_STRIPPING). Default false.
   */
  stripVlan?: boolean
}

const queuePairNames = {
  ...queuePairOptionNames,
  scatterToCqe: true,
  maxTsoHeader: true,
  stripVlan: true,
} as const satisfies Names<Mlx5QueuePairOptions>

/** mlx5dv_qp_create_flags */
const scatterFlags = { disable: 1 << 3, allow: 1 << 4 } as const
/** IBV_QP_CREATE_CVLAN_STRIPPING */
const vlanStripping = 1 << 9

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
    ...rest
  } = optionsOf('options', options, completionQueueNames)
  if (entryBytes !== undefined && entryBytes !== 64 && entryBytes !== 128) {
    throw rangeError('options.entryBytes', '64 or 128', entryBytes)
  }
  if (compression !== undefined) oneOf('options.compression', compression, compressionFormats)
  boolean('options.padded', padded)
  assertSupported(domain.context)
  const memory = new RingMemory()
  const card = {
    entryBytes: entryBytes ?? 0,
    format: compression === undefined ? 0 : CompressionFormat[compression],
    padded: padded ? 1 : 0,
  }
  const place = { domain: handle, rings: memory.place, card }
  const queue = domain.context.createCompletionQueueAt(place, entries, rest)
  memories.set(queue, memory)
  if (compression !== undefined) compressions.set(queue, compression)
  return queue
}

/**
 * Whether the device cuts what a request of a raw packet queue pair names into segments (tso_caps of
 * ibv_query_device_ex(3)).
 */
export function canSegment(context: Context): boolean {
  const { maxTso, tsoSupportedQpts } = context.limits.extended
  return maxTso > 0 && (tsoSupportedQpts & (1 << QueuePairTypes.RAW_PACKET)) !== 0
}

/**
 * Creates a queue pair as {@link ProtectionDomain.createQueuePair} does, with its rings in memory that {@link direct} can
 * show, and with a register of its own (ibv_alloc_td(3)): nobody else rings there.
 *
 * @throws VerbsError ENOTSUP for a device that is no ConnectX, and for one that does not do what an option asks for
 */
export function createQueuePair(domain: ProtectionDomain, options: Mlx5QueuePairOptions): QueuePair {
  const handle = idOf('domain', domain, ProtectionDomain)
  const {
    scatterToCqe,
    maxTsoHeader = 0,
    stripVlan = false,
    ...rest
  } = object('options', options, 'an object', queuePairNames)
  if (scatterToCqe !== undefined) boolean('options.scatterToCqe', scatterToCqe)
  integer('options.maxTsoHeader', maxTsoHeader, 0, 0xffff)
  boolean('options.stripVlan', stripVlan)
  const { context } = domain
  assertSupported(context)
  const frames = rest.type === 'RAW_PACKET'
  if (maxTsoHeader > 0 && !(frames && canSegment(context))) {
    const why = frames ? `${context.name} cuts no frames` : 'frames alone are cut: RAW_PACKET'
    throw verbsError('ENOTSUP', 'mlx5dv_create_qp', `"options.maxTsoHeader": ${why}`)
  }
  if (stripVlan && !(frames && context.limits.rawPacketCapabilities.includes('CVLAN_STRIPPING'))) {
    const why = frames ? `${context.name} strips no tags` : 'frames alone have tags: RAW_PACKET'
    throw verbsError('ENOTSUP', 'mlx5dv_create_qp', `"options.stripVlan": ${why}`)
  }
  const memory = new RingMemory()
  const cardFlags = scatterToCqe === undefined ? 0 : scatterToCqe ? scatterFlags.allow : scatterFlags.disable
  const card = { cardFlags, flags: stripVlan ? vlanStripping : 0, maxTsoHeader }
  const pair = QueuePair.create(domain, handle, rest, { rings: memory.place, card })
  memories.set(pair, memory)
  return pair
}

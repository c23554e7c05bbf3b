/** Queue pairs and completion queues whose rings lie in memory that JavaScript sees: what {@link direct} needs. */
import {
  boolean,
  integer,
  type Names,
  object,
  oneOf,
  options as optionsOf,
  rangeError,
  typeError,
} from '../argument.js'
import { verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import type { DriveCompletionQueue } from '../verbs/completion-driver.js'
import {
  type CompletionQueue,
  type CompletionQueueOptions,
  completionQueueOptionNames,
} from '../verbs/completion-queue.js'
import { QueuePairTypes } from '../verbs/constants.js'
import type { Context } from '../verbs/context.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import type { CreatedQueuePair } from '../verbs/queue-pair/created.js'
import type { QueuePairDriver } from '../verbs/queue-pair/driver.js'
import { type QueuePairOptions, queuePairOptionNames } from '../verbs/queue-pair/options.js'
import { QueuePair } from '../verbs/queue-pair/queue-pair.js'
import { CompressionFormat, type CompressionFormatName, compressionFormats } from './device.js'
import { MessageCompletions } from './driver/completion-queue.js'
import { messageQueuePair } from './driver/queue-pair.js'
import { RingMemory } from './ring-memory.js'
import { assertSupported } from './supported.js'

const memories = new WeakMap<QueuePair | CompletionQueue, RingMemory>()

/** Who reads the completion queues that this package drives. */
const readers = new WeakMap<CompletionQueue, MessageCompletions>()

/** The memory of a queue that this file created; undefined for any other. */
export const ringMemoryOf = (queue: QueuePair | CompletionQueue): RingMemory | undefined =>
  memories.get(queue)

const drivers = ['libibverbs', 'mlx5'] as const
/**
 * Who drives a queue's rings, for as long as it lives: libibverbs, or this package ('mlx5'), which writes the device's own
 * requests and reads its completions in TypeScript behind the same calls: `post`, `submit`, `poll`, `wait`. Of a submit only
 * the doorbell is a native call; of a poll nothing is. For {@link direct} choose 'libibverbs'.
 */
export type Driver = (typeof drivers)[number]
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
  /** Who reads the ring: see {@link Driver}. Default 'libibverbs'. */
  driver?: Driver
}
const completionQueueNames = {
  ...completionQueueOptionNames,
  entryBytes: true,
  compression: true,
  padded: true,
  driver: true,
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
   * Who drives the rings: see {@link Driver}. Default 'libibverbs'. With 'mlx5' the completion queues must have the same
   * driver, the type is RC, UC or UD, and messages never come in completions.
   */
  driver?: Driver
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
  driver: true,
  maxTsoHeader: true,
  stripVlan: true,
} as const satisfies Names<Mlx5QueuePairOptions>

/** mlx5dv_qp_create_flags */
const scatterFlags = { disable: 1 << 3, allow: 1 << 4 } as const
/** IBV_QP_CREATE_CVLAN_STRIPPING */
const vlanStripping = 1 << 9

/**
 * Creates a completion queue as `Context.createCompletionQueue` does, with its ring in memory that {@link direct} can
 * show, or that this package drives.
 *
 * @param domain any protection domain of the context: libmlx5 allocates the ring by way of it, and the queue is closed
 *   with it
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
    driver = 'libibverbs',
    ...rest
  } = optionsOf('options', options, completionQueueNames)
  if (entryBytes !== undefined && entryBytes !== 64 && entryBytes !== 128) {
    throw rangeError('options.entryBytes', '64 or 128', entryBytes)
  }
  if (compression !== undefined) oneOf('options.compression', compression, compressionFormats)
  boolean('options.padded', padded)
  const driven = oneOf('options.driver', driver, drivers) === 'mlx5'
  if (driven && rest.timestamps) {
    throw typeError('options.timestamps', "left out or false with driver 'mlx5'", rest.timestamps)
  }
  if (driven && compression !== undefined) {
    throw typeError(
      'options.compression',
      "left out: driver 'mlx5' reads entries of messages, one each",
      compression,
    )
  }
  assertSupported(domain.context)
  const memory = new RingMemory()
  const card = {
    entryBytes: entryBytes ?? 0,
    format: compression === undefined ? 0 : CompressionFormat[compression],
    padded: padded ? 1 : 0,
  }
  let completions: MessageCompletions | undefined
  const drive: DriveCompletionQueue = (parts) => {
    completions = new MessageCompletions(memory, parts)
    return completions
  }
  const place = { domain: handle, rings: memory.place, card, drive: driven ? drive : undefined }
  const queue = domain.context.createCompletionQueueAt(place, entries, rest)
  if (completions) readers.set(queue, completions)
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
 * show, or that this package drives, and with a register of its own (ibv_alloc_td(3)): nobody else rings there.
 *
 * @throws VerbsError ENOTSUP for a device that is no ConnectX, and for one that does not do what an option asks for
 */
export function createQueuePair(domain: ProtectionDomain, options: Mlx5QueuePairOptions): QueuePair {
  const handle = idOf('domain', domain, ProtectionDomain)
  const {
    scatterToCqe,
    driver = 'libibverbs',
    maxTsoHeader = 0,
    stripVlan = false,
    ...rest
  } = object('options', options, 'an object', queuePairNames)
  const driven = oneOf('options.driver', driver, drivers) === 'mlx5'
  if (scatterToCqe !== undefined) boolean('options.scatterToCqe', scatterToCqe)
  integer('options.maxTsoHeader', maxTsoHeader, 0, 0xffff)
  boolean('options.stripVlan', stripVlan)
  if (driven) assertDrivable(rest, scatterToCqe)
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
  // Of a driver's queue pairs, UD has no messages in completions to disable.
  const cardFlags = scatterFlagsOf(driven && rest.type !== 'UD' ? false : scatterToCqe)
  const pair = QueuePair.create(domain, handle, rest, {
    rings: memory.place,
    card: { cardFlags, flags: stripVlan ? vlanStripping : 0, maxTsoHeader },
    drive: driven ? (created) => driverOf(memory, domain, created) : undefined,
  })
  memories.set(pair, memory)
  return pair
}

/** Left to the environment where nothing is said. */
function scatterFlagsOf(scatterToCqe: boolean | undefined): number {
  if (scatterToCqe === undefined) return 0
  return scatterToCqe ? scatterFlags.allow : scatterFlags.disable
}

function assertDrivable({ type }: Pick<QueuePairOptions, 'type'>, scatterToCqe: boolean | undefined): void {
  if (type === 'RAW_PACKET') {
    throw typeError(
      'options.type',
      "'RC', 'UC' or 'UD' with driver 'mlx5': raw frames have a driver in PacketQueue, with backend 'mlx5'",
      type,
    )
  }
  if (scatterToCqe) {
    throw typeError('options.scatterToCqe', "left out or false with driver 'mlx5'", scatterToCqe)
  }
}

function driverOf(
  memory: RingMemory,
  { members }: ProtectionDomain,
  created: CreatedQueuePair,
): QueuePairDriver {
  const [sends, receives] = [created.sendCq, created.receiveCq].map((queue) => readers.get(queue))
  // QueuePair.create() has asked both for their driver.
  if (!sends || !receives) throw new Error('a completion queue without the driver of its queue pair')
  return messageQueuePair(memory, members, created, { sends, receives })
}

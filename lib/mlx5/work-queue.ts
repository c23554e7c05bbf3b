import { boolean, integer, type Names, object, options as optionsOf, rangeError } from '../argument.js'
import { verbsError } from '../errors.js'
import { idOf } from '../handle.js'
import { native } from '../native.js'
import { CompletionQueue } from '../verbs/completion-queue.js'
import type { Context } from '../verbs/context.js'
import { ProtectionDomain } from '../verbs/protection-domain.js'
import { type StridingOptions, WorkQueue } from '../verbs/work-queue.js'
import { type Mlx5Device, queryDevice } from './device.js'
import { RingMemory } from './ring-memory.js'
import { assertSupported } from './supported.js'

/** IBV_WQ_FLAGS_CVLAN_STRIPPING */
const vlanStripping = 1 << 0

const stridingNames = {
  strideBytes: true,
  strides: true,
  twoByteShift: true,
} as const satisfies Names<StridingOptions>

/** Options of {@link createWorkQueue}. */
export interface WorkQueueOptions {
  /**
   * Where its completions come, of a queue that {@link createCompletionQueue} made: one for each request, or, of a
   * striding queue, one for each of its strides at most.
   */
  cq: CompletionQueue
  /** Maximum number of outstanding requests, 64 by default: reserves their places in `cq`. */
  maxWr?: number
  /** Scatter elements of a request, 1 by default. */
  maxSge?: number
  /** The device takes the VLAN tag out of a received frame (IBV_WQ_FLAGS_CVLAN_STRIPPING). Default false. */
  stripVlan?: boolean
  /** One request takes many frames, each in strides of its own. Default: a request takes one frame. */
  striding?: StridingOptions
}
const workQueueNames = {
  cq: true,
  maxWr: true,
  maxSge: true,
  stripVlan: true,
  striding: true,
} as const satisfies Names<WorkQueueOptions>

const memories = new WeakMap<WorkQueue, RingMemory>()
/** The memory of a work queue's ring. @internal */
export const ringMemoryOfWorkQueue = (queue: WorkQueue): RingMemory | undefined => memories.get(queue)

/**
 * Creates a work queue in state RESET (mlx5dv_create_wq(3)), with its ring in memory that `direct()` can show.
 *
 * @throws VerbsError ENOTSUP for a device that is no ConnectX, or does not do what an option asks for; ENOSPC where the
 *   completion queue has too few places; TypeError, RangeError
 */
export function createWorkQueue(domain: ProtectionDomain, options: WorkQueueOptions): WorkQueue {
  const handle = idOf('domain', domain, ProtectionDomain)
  const { context } = domain
  const known = object('options', options, 'an object', workQueueNames)
  const cq = idOf('options.cq', known.cq, CompletionQueue)
  if (known.cq.context !== context) throw rangeError('options.cq', "of the domain's own context", known.cq)
  const { maxWr = 64, maxSge = 1, stripVlan = false } = known
  const { limits } = context
  integer('options.maxWr', maxWr, 1, limits.maxQpWr)
  integer('options.maxSge', maxSge, 1, limits.maxSge)
  boolean('options.stripVlan', stripVlan)
  assertSupported(context)
  if (stripVlan && !limits.rawPacketCapabilities.includes('CVLAN_STRIPPING')) {
    throw verbsError('ENOTSUP', 'mlx5dv_create_wq', `"options.stripVlan": ${context.name} strips no tags`)
  }
  const striding = known.striding === undefined ? null : stridingOf(domain, known.striding)
  const memory = new RingMemory()
  const made = memory.place((bytes) =>
    native.mlx5.createWorkQueue(
      handle,
      cq,
      {
        maxWr,
        maxSge,
        flags: stripVlan ? vlanStripping : 0,
        logStrideBytes: striding ? Math.log2(striding.strideBytes) : 0,
        logStrides: striding ? Math.log2(striding.strides) : 0,
        twoByteShift: striding?.twoByteShift ? 1 : 0,
      },
      bytes,
    ),
  )
  const queue = new WorkQueue({ domain, cq: known.cq, striding }, made)
  context.adopt(made.handle, queue)
  memories.set(queue, memory)
  return queue
}

/** @throws VerbsError ENOTSUP for a device that has no striding queues @internal */
export function stridingLimits(context: Context): NonNullable<Mlx5Device['striding']> {
  const limits = queryDevice(context).striding
  if (limits && limits.maxLogStrides > 0) return limits
  throw verbsError(
    'ENOTSUP',
    'mlx5dv_create_wq',
    `"options.striding": ${context.name} has no striding queues`,
  )
}

function stridingOf({ context }: ProtectionDomain, given: StridingOptions): Required<StridingOptions> {
  const { strideBytes, strides, twoByteShift = false } = optionsOf('options.striding', given, stridingNames)
  const able = stridingLimits(context)
  powerOfTwo('options.striding.strideBytes', strideBytes, able.minLogStrideBytes, able.maxLogStrideBytes)
  powerOfTwo('options.striding.strides', strides, able.minLogStrides, able.maxLogStrides)
  boolean('options.striding.twoByteShift', twoByteShift)
  return Object.freeze({ strideBytes: strideBytes as number, strides: strides as number, twoByteShift })
}

function powerOfTwo(name: string, value: unknown, least: number, most: number): void {
  integer(name, value, 2 ** least, 2 ** most)
  if (!Number.isInteger(Math.log2(value as number))) throw rangeError(name, 'a power of two', value)
}

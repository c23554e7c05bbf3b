import { rangeError } from '../../argument.js'
import { createCompletionQueue } from '../../mlx5/create.js'
import type { CompressionFormatName } from '../../mlx5/device.js'
import { takeCompletionQueue, takeWorkQueue } from '../../mlx5/direct.js'
import { type StridingQueueParts, stridingQueue } from '../../mlx5/driver/striding-queue.js'
import { createIndirectionTable, createRssQueuePair } from '../../mlx5/rss.js'
import { createWorkQueue, stridingLimits } from '../../mlx5/work-queue.js'
import type { Context } from '../../verbs/context.js'
import type { ProtectionDomain } from '../../verbs/protection-domain.js'
import type { Settings } from '../settings.js'

/** DPDK's number for a buffer (mlx5_rxq.c, MLX5_MPRQ_DEFAULT_LOG_STRIDE_NUM). */
const usualStrides = 64
/** A frame that no buffer can hold fails the queue: a card's longest has 9978 bytes, an Ethernet header and two tags. */
const leastBufferBytes = 2 ** 14
/** The queue must have one buffer to receive into while another is used up. */
const leastBuffers = 2

/**
 * How many frames lie in a buffer.
 *
 * @param depth frames that stand ready to receive into
 * @throws VerbsError ENOTSUP for a device that cannot; RangeError that names the option
 */
export function stridesOf(context: Context, { frames, striding }: Settings, depth: number): number {
  const able = stridingLimits(context)
  const { frameSize, headroom } = frames
  const [leastBytes, mostBytes] = [2 ** able.minLogStrideBytes, 2 ** able.maxLogStrideBytes]
  if (headroom > 0) throw rangeError('options.headroom', '0 with "options.striding"', headroom)
  if (frameSize < leastBytes || frameSize > mostBytes) {
    throw rangeError('options.frameSize', `${leastBytes} to ${mostBytes} with "options.striding"`, frameSize)
  }
  const least = Math.max(2 ** able.minLogStrides, leastBufferBytes / frameSize)
  const most = 2 ** able.maxLogStrides
  const some = Math.min(usualStrides, 2 ** Math.floor(Math.log2(Math.max(1, depth / 4))))
  const strides = typeof striding === 'number' ? striding : Math.max(least, some)
  if (strides < least || strides > most) {
    throw rangeError('options.striding', `${least} to ${most} frames of ${frameSize} bytes`, strides)
  }
  if (depth < leastBuffers * strides) {
    const buffers = `${leastBuffers * strides}, two buffers of ${strides}, with "options.striding"`
    throw rangeError('options.receiveFrames', `at least ${buffers}`, depth)
  }
  return strides
}

/** What a striding queue needs beside what is made here. */
export interface StridingParts
  extends Pick<
    StridingQueueParts,
    'key' | 'base' | 'batch' | 'checksumValid' | 'failed' | 'strides' | 'strideBytes'
  > {
  domain: ProtectionDomain
  port: number
  /** Frames that stand ready: a multiple of the strides. */
  depth: number
  stripVlan: boolean
  /** How completions may be compressed; undefined: not at all. */
  formats: readonly CompressionFormatName[] | undefined
  timestamps: boolean
}

/** A striding receive queue: strides exist on a work queue alone, which frames reach by an RSS queue pair. */
export function openStriding(parts: StridingParts) {
  const { domain, port, depth, stripVlan, formats, timestamps, strides, strideBytes } = parts
  const format = (['CSUM_STRIDX', 'HASH'] as const).find((each) => formats?.includes(each))
  const cq = createCompletionQueue(domain, depth, { batch: 1, compression: format, timestamps })
  const queue = createWorkQueue(domain, {
    ...{ cq, maxWr: depth / strides, stripVlan },
    striding: { strideBytes, strides },
  })
  queue.modify({ state: 'RDY' })
  const table = createIndirectionTable([queue])
  const receiver = createRssQueuePair(domain, { table, fields: [], port })
  const completions = takeCompletionQueue(cq)
  const ends = stridingQueue({
    ...parts,
    ...{ queue: takeWorkQueue(queue), completions: completions.ring, miniStride: format === 'CSUM_STRIDX' },
  })
  return { cq, receiver, completions, ends }
}

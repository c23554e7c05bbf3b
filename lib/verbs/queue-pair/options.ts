import { randomInt } from 'node:crypto'
import { integer, type Names, object, oneOf, typeError, uint32 } from '../../argument.js'
import { idOf } from '../../handle.js'
import { bestGid, type GidEntry } from '../address/gid.js'
import { gidAt } from '../address/gid-table.js'
import { CompletionQueue } from '../completion-queue.js'
import { type QueuePairType, queuePairTypes } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import type { QueuePairCapabilities } from './capabilities.js'
import { type LongestMessage, longestMessage } from './longest-message.js'
import { checkOptionsOfType } from './options-of-type.js'

/** Options of {@link ProtectionDomain.createQueuePair}. */
export interface QueuePairOptions {
  /** Reliable connection, unreliable connection, unreliable datagram, or Ethernet frames (RAW_PACKET). */
  type: QueuePairType
  /** Completion queue of sends and receives; left out where each has its own. */
  cq?: CompletionQueue
  /** Completion queue of sends, instead of `cq`. */
  sendCq?: CompletionQueue
  /** Completion queue of receives, instead of `cq`. */
  receiveCq?: CompletionQueue
  /** Maximum number of outstanding send requests, 64 by default: reserves as many entries of the completion queue. */
  maxSendWr?: number
  /**
   * Maximum number of outstanding receive requests, 64 by default: reserves as many entries of the completion queue.
   */
  maxReceiveWr?: number
  /** Scatter/gather elements of a send, 1 by default. */
  maxSendSge?: number
  /** Scatter/gather elements of a receive, 1 by default. */
  maxReceiveSge?: number
  /** Maximum bytes of an inline send, 0 by default. The device may grant more: see {@link QueuePair.capabilities}. */
  maxInline?: number
  /** Port, from 1; 1 by default. */
  port?: number
  /** RC, UC, UD: index of the GID to use; by default the one that {@link bestGid} returns. */
  gidIndex?: number
  /** UD: queue key that senders must use; 0x11111111 by default, as in rdma-core's examples. */
  queueKey?: number
  /** RC, UC, UD: first packet sequence number to send, 24 bits; random by default. */
  packetSequenceNumber?: number
}
export const queuePairOptionNames = {
  type: true,
  cq: true,
  sendCq: true,
  receiveCq: true,
  maxSendWr: true,
  maxReceiveWr: true,
  maxSendSge: true,
  maxReceiveSge: true,
  maxInline: true,
  port: true,
  gidIndex: true,
  queueKey: true,
  packetSequenceNumber: true,
} as const satisfies Names<QueuePairOptions>

/** The types of queue pair that have an option which not all have. Raw frames have MAC addresses and no GID. */
const types = {
  gidIndex: ['RC', 'UC', 'UD'],
  queueKey: ['UD'],
  packetSequenceNumber: ['RC', 'UC', 'UD'],
} as const satisfies Partial<Record<keyof QueuePairOptions, readonly QueuePairType[]>>

const defaultQueueKey = 0x11111111

/** {@link QueuePairOptions} for a device: every value checked, every default filled in. @internal */
export interface CheckedQueuePairOptions {
  type: QueuePairType
  sizes: QueuePairCapabilities
  sendCq: CompletionQueue
  receiveCq: CompletionQueue
  port: number
  gid: GidEntry | undefined
  lid: number
  mtu: number
  longest: LongestMessage
  queueKey: number
  packetSequenceNumber: number
}

/** @internal */
export function checkQueuePairOptions(
  device: DeviceQueries,
  options: QueuePairOptions,
): CheckedQueuePairOptions {
  object('options', options, 'an object', queuePairOptionNames)
  const type = oneOf('options.type', options.type, queuePairTypes)
  const [sendName, sendCq] = queueOf(options, 'sendCq')
  const [receiveName, receiveCq] = queueOf(options, 'receiveCq')
  idOf(sendName, sendCq, CompletionQueue)
  idOf(receiveName, receiveCq, CompletionQueue)
  if (sendCq.context !== device) throw typeError(sendName, "of the domain's own context", sendCq)
  if (receiveCq.context !== device) throw typeError(receiveName, "of the domain's own context", receiveCq)
  const limits = device.limits
  const sizes: QueuePairCapabilities = {
    maxSendWr: integer('options.maxSendWr', options.maxSendWr ?? 64, 1, limits.maxQpWr),
    maxReceiveWr: integer('options.maxReceiveWr', options.maxReceiveWr ?? 64, 1, limits.maxQpWr),
    maxSendSge: integer('options.maxSendSge', options.maxSendSge ?? 1, 1, Math.min(limits.maxSge, 255)),
    maxReceiveSge: integer(
      'options.maxReceiveSge',
      options.maxReceiveSge ?? 1,
      1,
      Math.min(limits.maxSge, 255),
    ),
    maxInline: integer('options.maxInline', options.maxInline ?? 0, 0, 0xffff),
  }
  const port = integer('options.port', options.port ?? 1, 1, device.portCount)
  const { lid, activeMtu: mtu } = device.queryPort(port)
  checkOptionsOfType(options, types, type)
  const gid = type === 'RAW_PACKET' ? undefined : chooseGid(device, port, options.gidIndex)
  const longest = longestMessage(device, port, type)
  const queueKey = uint32('options.queueKey', options.queueKey ?? defaultQueueKey)
  const packetSequenceNumber = integer(
    'options.packetSequenceNumber',
    options.packetSequenceNumber ?? randomInt(1 << 24),
    0,
    0xffffff,
  )
  return { type, sizes, sendCq, receiveCq, port, gid, lid, mtu, longest, queueKey, packetSequenceNumber }
}

/** The completion queue of one half, and the option that named it. */
function queueOf(options: QueuePairOptions, half: 'sendCq' | 'receiveCq'): [string, CompletionQueue] {
  const own = options[half] ?? undefined
  return own !== undefined ? [`options.${half}`, own] : ['options.cq', options.cq as CompletionQueue]
}

/** The GID at `index`, or the best one; undefined on InfiniBand without a GID. */
function chooseGid(device: DeviceQueries, port: number, index: number | undefined): GidEntry | undefined {
  if (index === undefined) return bestGid(device.queryGidTable(), port)
  return gidAt(device, port, integer('options.gidIndex', index, 0, 255))
}

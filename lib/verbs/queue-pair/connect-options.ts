import { integer, type Names, options as optionsOf } from '../../argument.js'
import type { Access, QueuePairType } from '../constants.js'
import type { DeviceQueries } from '../device-queries.js'
import { type QueuePairAttributes, toNative } from './attributes.js'
import { checkOptionsOfType } from './options-of-type.js'

/** Options of {@link QueuePair.connect}; every one has a default that works. */
export interface ConnectOptions {
  /** What the peer may do; by default REMOTE_WRITE, REMOTE_READ and, where the device has atomics, REMOTE_ATOMIC. */
  access?: Access[]
  /** Bytes; by default the smaller of the two ports' active MTUs. */
  pathMtu?: number
  /** Local ACK timeout, 4.096 µs × 2^timeout: 14 (67 ms) by default. */
  timeout?: number
  /**
   * Retries before RETRY_EXC_ERR: 6 by default, so that a lost peer becomes an error within seconds. (With 7, rxe of
   * Linux 6.1 may retry for ever.)
   */
  retryCount?: number
  /** Retries while the peer has no receive posted (RNR): 6 by default; 7 retries for ever. */
  rnrRetry?: number
  /** RNR NAK timer code: 12 (0.64 ms) by default. */
  minRnrTimer?: number
  /** Maximum number of reads and atomics outstanding as initiator; by default the device's limit, at most 16. */
  maxRdAtomic?: number
  /** Maximum number of reads and atomics outstanding as responder; by default the device's limit, at most 16. */
  maxDestRdAtomic?: number
  /** Index of the partition key: 0 by default. */
  pkeyIndex?: number
  /** Service level, on Ethernet the 802.1p priority: 0 by default. */
  serviceLevel?: number
  /** IPv4 TOS or IPv6 traffic class: 0 by default. */
  trafficClass?: number
  /** Flow label of the GRH, 20 bits; 0 by default. */
  flowLabel?: number
  /** TTL: 64 by default. For RoCE v2 the kernel uses the route's instead (ib_resolve_eth_dmac). */
  hopLimit?: number
}
const connectOptionNames = {
  access: true,
  pathMtu: true,
  timeout: true,
  retryCount: true,
  rnrRetry: true,
  minRnrTimer: true,
  maxRdAtomic: true,
  maxDestRdAtomic: true,
  pkeyIndex: true,
  serviceLevel: true,
  trafficClass: true,
  flowLabel: true,
  hopLimit: true,
} as const satisfies Names<ConnectOptions>

/** Options of {@link QueuePair.initialize}. */
export type InitializeOptions = Pick<ConnectOptions, 'access' | 'pkeyIndex'>
const initializeOptionNames = { access: true, pkeyIndex: true } as const satisfies Names<InitializeOptions>

/** The types of queue pair that have each option (ibv_modify_qp(3)). */
const types: Record<keyof ConnectOptions, readonly QueuePairType[]> = {
  access: ['RC', 'UC'],
  pathMtu: ['RC', 'UC'],
  timeout: ['RC'],
  retryCount: ['RC'],
  rnrRetry: ['RC'],
  minRnrTimer: ['RC'],
  maxRdAtomic: ['RC'],
  maxDestRdAtomic: ['RC'],
  pkeyIndex: ['RC', 'UC', 'UD'],
  serviceLevel: ['RC', 'UC'],
  trafficClass: ['RC', 'UC'],
  flowLabel: ['RC', 'UC'],
  hopLimit: ['RC', 'UC'],
}

/** The options that are attributes of the queue pair; then those of the address vector, with their highest values. */
const ofPair = [
  'access',
  'pathMtu',
  'timeout',
  'retryCount',
  'rnrRetry',
  'minRnrTimer',
  'maxRdAtomic',
  'maxDestRdAtomic',
  'pkeyIndex',
] as const satisfies (keyof ConnectOptions & keyof QueuePairAttributes)[]
const ofVector = { serviceLevel: 15, trafficClass: 255, flowLabel: 0xfffff, hopLimit: 255 } as const

/**
 * Checks the options before any transition, so that an error names the option as the caller wrote it and the queue pair
 * keeps its state.
 *
 * @internal
 */
export function checkConnectOptions(
  device: DeviceQueries,
  type: QueuePairType,
  options: ConnectOptions | undefined,
): ConnectOptions {
  return check(device, type, optionsOf('options', options, connectOptionNames))
}

/** @internal */
export function checkInitializeOptions(
  device: DeviceQueries,
  type: QueuePairType,
  options: InitializeOptions | undefined,
): InitializeOptions {
  return check(device, type, optionsOf('options', options, initializeOptionNames))
}

function check(device: DeviceQueries, type: QueuePairType, settings: ConnectOptions): ConnectOptions {
  checkOptionsOfType(settings, types, type)
  const attributes: Record<string, unknown> = {}
  for (const name of ofPair) attributes[name] = settings[name]
  toNative(device, attributes, 'options')
  for (const [name, high] of Object.entries(ofVector)) {
    const value = settings[name as keyof typeof ofVector]
    if (value !== undefined) integer(`options.${name}`, value, 0, high)
  }
  return settings
}

/**
 * Two software ConnectX that are joined, in strict mode, for each test of a file, and queue pairs on them by either driver
 * of ibverbs/mlx5.
 */
import {
  type CompletionQueue,
  type Context,
  type MemoryRegion,
  open,
  type ProtectionDomain,
  type QueuePair,
} from 'ibverbs'
import { createCompletionQueue, createQueuePair, type Driver, type Mlx5QueuePairOptions } from 'ibverbs/mlx5'
import { type SoftConnectX, softConnectX } from 'ibverbs/soft'
import { afterEach, beforeEach, expect } from 'vitest'
import { native } from '../../dist/native.js'

/** Bytes of each side's memory. */
export const size = 1 << 16
const access = ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC'] as const

export interface Side {
  context: Context
  domain: ProtectionDomain
  memory: MemoryRegion
  sendCq: CompletionQueue
  receiveCq: CompletionQueue
  pair: QueuePair
}

let soft: SoftConnectX

/** Opens the two devices before each test; after it they have seen no violation, and no handle is left. */
export function useMessages(): void {
  beforeEach(() => {
    soft = softConnectX({ wire: 'pair', strict: true })
  })
  afterEach(() => {
    try {
      expect(soft.violations()).toEqual([])
    } finally {
      soft.close()
    }
    expect(native.handleCount()).toBe(0)
  })
}

export const openDevice = (device = 0): Context => open(soft.devices()[device].name)

export function side(driver: Driver, device = 0, options: Partial<Mlx5QueuePairOptions> = {}): Side {
  const context = openDevice(device)
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(size, { access: [...access] })
  const { maxSendWr = 64, maxReceiveWr = 64 } = options
  const sendCq = createCompletionQueue(domain, maxSendWr, { driver })
  const receiveCq = createCompletionQueue(domain, maxReceiveWr, { driver })
  const pair = createQueuePair(domain, { type: 'RC', sendCq, receiveCq, driver, ...options })
  return { context, domain, memory, sendCq, receiveCq, pair }
}

export function connect(a: QueuePair, b: QueuePair): void {
  a.connect(b.endpoint)
  b.connect(a.endpoint)
}

export function connected(
  drivers: readonly [Driver, Driver],
  options?: Partial<Mlx5QueuePairOptions>,
  ofSide: readonly Partial<Mlx5QueuePairOptions>[] = [],
) {
  const [a, b] = drivers.map((driver, device) => side(driver, device, { ...options, ...ofSide[device] }))
  connect(a.pair, b.pair)
  return {
    a,
    b,
    [Symbol.dispose]() {
      a.context.close()
      b.context.close()
    },
  }
}

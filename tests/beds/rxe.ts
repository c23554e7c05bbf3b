/**
 * The rxe bed: two SoftRoCE devices, rxe0 and rxe1, on the two ends of one veth pair (v0, v1). It exists in the VM
 * (`node tests/beds/vm/run.mjs -- COMMAND`); elsewhere the tests that use it fail with ENODEV.
 */

import { readdirSync, readFileSync } from 'node:fs'
import {
  type Access,
  CompletionFlag,
  type CompletionQueue,
  type ConnectOptions,
  type Context,
  type MemoryRegion,
  open,
  type ProtectionDomain,
  type QueuePair,
  type QueuePairOptions,
  type QueuePairType,
} from 'ibverbs'
import { afterEach, expect } from 'vitest'
import { native } from '../../dist/native.js'
import { execFileSync } from './child.js'
import { limit } from './limit.js'

export { limit } from './limit.js'
export { collectGarbage, node, thrownBy } from './process.js'

/**
 * The same tests run natively in the bed `soft`, on two connected software ConnectX; tests of rxe itself (its limits, its
 * kernel objects) stay in the VM.
 */
export const soft = process.env.IBVERBS_SOFT !== undefined
export const names = soft ? (['mlx5_soft0', 'mlx5_soft1'] as const) : (['rxe0', 'rxe1'] as const)
export const netdevs = ['v0', 'v1'] as const
export const types = ['RC', 'UC', 'UD'] as const

/**
 * Completion statuses of errors as the InfiniBand specification and a ConnectX have them; rxe of Linux 6.1 reports
 * LOC_QP_OP_ERR for every failed receive, and REM_OP_ERR to its sender.
 */
export const fault = soft
  ? ({
      tooShort: { here: 'LOC_LEN_ERR', sender: 'REM_INV_REQ_ERR' },
      protection: { here: 'LOC_PROT_ERR', sender: 'REM_OP_ERR' },
    } as const)
  : ({
      tooShort: { here: 'LOC_QP_OP_ERR', sender: 'REM_OP_ERR' },
      protection: { here: 'LOC_QP_OP_ERR', sender: 'REM_OP_ERR' },
    } as const)

/** A UD receive begins with room for a GRH. */
export const grhBytes = 40
export const queueKey = 0x11111111

/** A region that a peer may read, write and change. */
export const openToPeers: Access[] = ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC']

export interface SideOptions extends Partial<Omit<QueuePairOptions, 'type'>> {
  /** Bytes of the memory region; 128 KiB by default. */
  size?: number
  /** Access to the memory region; every kind by default. */
  access?: Access[]
  /** Entries of the completion queue; by default, as many as the queue pair's requests. */
  entries?: number
  batch?: number
}

/** One end: everything needed to send and receive. */
export interface Side {
  context: Context
  domain: ProtectionDomain
  cq: CompletionQueue
  memory: MemoryRegion
  pair: QueuePair
}

/**
 * Opens devices and closes them after each test, then checks that no handle is left. Call it once in a describe block or a
 * file.
 */
export function useRxe() {
  const opened: Context[] = []

  afterEach(() => {
    for (const context of opened.splice(0).reverse()) context.close()
    expect(native.handleCount()).toBe(0)
  })

  function context(device: 0 | 1 = 0): Context {
    const made = open(names[device])
    opened.push(made)
    return made
  }

  function side(type: QueuePairType, device: 0 | 1 = 0, options: SideOptions = {}): Side {
    const { size = 128 << 10, access = openToPeers, entries, batch, ...pairOptions } = options
    const where = context(device)
    const domain = where.allocateProtectionDomain()
    const { maxSendWr = 64, maxReceiveWr = 64 } = pairOptions
    const cq = where.createCompletionQueue(entries ?? maxSendWr + maxReceiveWr, { batch })
    const memory = domain.registerMemory(size, { access })
    const pair = domain.createQueuePair({ type, cq, ...pairOptions })
    return { context: where, domain, cq, memory, pair }
  }

  return {
    context,
    side,

    /** Two connected ends, on rxe0 and rxe1. */
    connected(type: QueuePairType, options?: SideOptions, connectOptions?: ConnectOptions): [Side, Side] {
      const a = side(type, 0, options)
      const b = side(type, 1, options)
      a.pair.connect(b.pair.endpoint, connectOptions)
      b.pair.connect(a.pair.endpoint, connectOptions)
      return [a, b]
    },
  }
}

/** One completion, copied from the columns, without the fields that an error leaves undefined. */
export interface Completion {
  cookie: number
  status: string
  queuePair: number
  opcode?: string
  byteLength?: number
  immediate?: number
  flags?: number
  source?: number
}

export function row(cq: CompletionQueue, i: number): Completion {
  const base = { cookie: cq.cookie[i], status: cq.statusName(i), queuePair: cq.queuePairNumber[i] }
  if (base.status !== 'SUCCESS') return base
  return {
    ...base,
    opcode: cq.opcodeName(i),
    byteLength: cq.byteLength[i],
    immediate: cq.flags[i] & CompletionFlag.WITH_IMM ? cq.immediate[i] : undefined,
    flags: cq.flags[i],
    source: cq.sourceQueuePair[i],
  }
}

export function rows(cq: CompletionQueue, count: number): Completion[] {
  return Array.from({ length: count }, (_, i) => row(cq, i))
}

/** Waits for exactly `count` completions. */
export async function completions(cq: CompletionQueue, count: number): Promise<Completion[]> {
  const all: Completion[] = []
  const signal = AbortSignal.timeout(limit)
  while (all.length < count) all.push(...rows(cq, await cq.wait({ signal })))
  expect(all.length).toBe(count)
  return all
}

/** Waits for exactly one completion. */
export async function completion(cq: CompletionQueue): Promise<Completion> {
  return (await completions(cq, 1))[0]
}

/** Resolves when `condition` holds: for changes that raise no event. Fails after {@link limit}. */
export async function until(condition: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(limit)
  while (!condition()) {
    signal.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** [cookie, status] of each. */
export function outcome(all: Completion[]): [number, string][] {
  return all.map(({ cookie, status }) => [cookie, status])
}

/** Bytes that differ by position and seed, and do not repeat at any power of two. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31 + 1) & 0xff)
}

/** Compares every byte; the message names the first that differs. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length)
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  if (at >= 0) expect(`byte ${at} is ${actual[at]}`).toBe(`byte ${at} is ${expected[at]}`)
}

/** This process's resources that may leak; `rdma` counts the kernel's objects, of all processes. */
export function resources() {
  const maps = readFileSync('/proc/self/maps', 'latin1').split('\n')
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    deviceMappings: maps.filter((line) => line.includes('uverbs')).length,
    rdma: rdmaResources(),
  }
}

/** `rdma resource show`, added up over both devices. */
export function rdmaResources(): Record<string, number> {
  const total: Record<string, number> = {}
  if (soft) return {} // descriptors, threads and mappings show leaks of the software NIC
  const shown = JSON.parse(execFileSync('rdma', ['-j', 'resource', 'show'], { encoding: 'utf8' }))
  for (const device of shown) {
    for (const [name, value] of Object.entries(device)) {
      if (typeof value === 'number' && name !== 'ifindex') total[name] = (total[name] ?? 0) + value
    }
  }
  return total
}

/** Waits until a queue pair that went to SQD may leave it: the kernel drains the sends in its own time. */
export async function drained(pair: QueuePair): Promise<void> {
  while (pair.query().sqDraining) await new Promise((resolve) => setImmediate(resolve))
}

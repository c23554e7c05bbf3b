import { readFileSync } from 'node:fs'
import { open } from 'ibverbs'
import { describe, expect, it, vi } from 'vitest'
import { native } from '../../dist/native.js'
import { collectGarbage, completions, resources, soft, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** Thousands of cycles in `npm run test:long`. */
const factor = process.env.IBVERBS_LONG ? 50 : 1
if (factor > 1) vi.setConfig({ testTimeout: 600_000 })

/** Checks that a cycle leaves the same number of descriptors, threads, device mappings and kernel objects. */
async function keepsNothing(times: number, cycle: () => unknown): Promise<void> {
  const cycles = times * factor
  for (let i = 0; i < 3; i++) await cycle() // one-time allocations: libuv's own descriptors, caches
  await collectGarbage()
  const handles = native.handleCount()
  const before = resources()
  // The heaps of V8 and malloc grow by some mappings at any time; a mapping leaked in each cycle shows in every round.
  let growth = Number.POSITIVE_INFINITY
  for (let round = 0; round < 12 && growth >= cycles / 2; round++) {
    const mappings = mappingCount()
    for (let i = 0; i < cycles; i++) await cycle()
    await collectGarbage()
    expect(resources()).toEqual(before)
    expect(native.handleCount()).toBe(handles)
    growth = mappingCount() - mappings
  }
  // A software NIC is a thread, and AddressSanitizer keeps records of every thread that ended.
  if (soft && process.env.LD_PRELOAD?.includes('libasan')) return
  expect(growth).toBeLessThan(cycles / 2)
}

const mappingCount = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length

describe('leaves nothing behind:', () => {
  it('contexts with everything in them', async () => {
    await keepsNothing(12, () => {
      const { context, domain, pair } = rxe.side('UD', 0, { size: 1 << 20 })
      pair.connect()
      domain.createAddressHandle(pair.endpoint)
      context.close()
    })
  })

  it('queue pairs, completion queues, regions and address handles of one context', async () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    await keepsNothing(25, () => {
      const cq = context.createCompletionQueue(64)
      const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 32, maxReceiveWr: 32 })
      const region = domain.registerMemory(1 << 20)
      pair.initialize()
      pair.prepareReceive({ memory: region }).post(1)
      pair.submit()
      domain.createAddressHandle(pair.endpoint).close()
      pair.close()
      region.close()
      cq.close()
    })
  })

  it('connections that carried data, closed with requests outstanding', async () => {
    await keepsNothing(8, async () => {
      const [a, b] = rxe.connected('RC')
      const receive = b.pair.prepareReceive({ memory: b.memory })
      for (let i = 0; i < 32; i++) receive.post(i)
      b.pair.submit()
      const send = a.pair.prepareSend({ memory: a.memory })
      for (let i = 0; i < 16; i++) send.post(i, 0, 1000)
      a.pair.submit()
      await completions(b.cq, 16)
      a.context.close()
      b.context.close()
    })
  })

  it('waits, ended by a completion, a signal or a close', async () => {
    await keepsNothing(8, async () => {
      const { context, cq, pair } = rxe.side('RC')
      const controller = new AbortController()
      const aborted = cq.wait({ signal: controller.signal }).catch((error) => error.name)
      const event = context.nextEvent({ signal: controller.signal }).catch((error) => error.name)
      controller.abort()
      expect([await aborted, await event]).toEqual(['AbortError', 'AbortError'])
      pair.initialize()
      pair.prepareReceive({}).post(1)
      pair.submit()
      const woken = cq.wait()
      pair.modify({ state: 'ERR' })
      expect(await woken).toBe(1)
      const closed = cq.wait().catch((error) => error.code)
      context.close()
      expect(await closed).toBe('ERR_IBVERBS_CLOSED')
    })
  })

  it('refused calls', async () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(1)
    await keepsNothing(20, () => {
      expect(() => open('nobody')).toThrow('ENODEV')
      expect(() => domain.createQueuePair({ type: 'RC', cq })).toThrow('ENOSPC')
      expect(() => domain.registerMemory(1 << 20, { access: ['ON_DEMAND'] })).toThrow('EINVAL')
      expect(() => domain.createAddressHandle({ gid: 'fe80::1', gidIndex: 77 })).toThrow(
        'has no GID at index 77',
      )
    })
  })
})

describe('handles', () => {
  it('stay stale after many others', () => {
    // Slots are reused late, and then with another generation.
    const context = rxe.context()
    const stale = Array.from({ length: 50 }, () => context.allocateProtectionDomain())
    for (const domain of stale) domain.close()
    for (let i = 0; i < 3000; i++) context.allocateProtectionDomain().close()
    expect(stale.every((domain) => domain.closed)).toBe(true)
    const alive = context.allocateProtectionDomain()
    for (const domain of stale) domain.close()
    expect(alive.closed).toBe(false)
  })
})

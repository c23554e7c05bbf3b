/** Workers and processes: each has its own contexts, which close when it ends in any way. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { native } from '../../dist/native.js'
import { spawn, spawnSync } from '../beds/child.js'
import {
  completion,
  expectBytes,
  limit,
  names,
  node,
  outcome,
  pattern,
  rdmaResources,
  resources,
  rows,
  soft,
  useRxe,
} from '../beds/rxe.js'

// Node takes a second to start in an idle emulated machine, and many in a busy one.
vi.setConfig({ testTimeout: 120_000 })

const rxe = useRxe()
const traffic = new URL('../beds/traffic.mjs', import.meta.url)

/** A worker with traffic under way. */
async function busyWorker(): Promise<Worker> {
  const worker = new Worker(traffic)
  await once(worker, 'message', { signal: AbortSignal.timeout(limit) })
  return worker
}

describe('a worker', () => {
  it('that is terminated in mid-traffic leaves nothing behind, again and again', async () => {
    await (await busyWorker()).terminate() // warm-up: libuv makes its descriptors once
    const before = resources()
    for (let i = 0; i < 4; i++) {
      const worker = await busyWorker()
      if (!soft) expect(rdmaResources().ctx).toBe(before.rdma.ctx + 2)
      expect(await worker.terminate()).toBe(1)
      expect(resources()).toEqual(before)
    }
  })

  it('has a context of its own beside another, both with traffic', async () => {
    const before = rdmaResources()
    const workers = await Promise.all([busyWorker(), busyWorker()])
    if (!soft) expect(rdmaResources().ctx).toBe(before.ctx + 4)
    // The main thread's own traffic continues, and is not disturbed by their end.
    const [a, b] = rxe.connected('RC')
    const send = a.pair.prepareSend({ memory: a.memory })
    const receive = b.pair.prepareReceive({ memory: b.memory })
    for (let i = 0; i < 20; i++) {
      receive.post(i)
      b.pair.submit()
      a.memory.bytes.set(pattern(2000, i))
      send.post(i, 0, 2000)
      a.pair.submit()
      expect(await completion(b.cq)).toMatchObject({ cookie: i, byteLength: 2000 })
      expectBytes(b.memory.bytes.subarray(0, 2000), pattern(2000, i))
      await completion(a.cq)
      if (i === 10) await workers[0].terminate()
    }
    await workers[1].terminate()
  })

  it('makes and closes queues while others do, and every poll reads the right one', async () => {
    // Completion rings are found by the mappings of a creation (binding/verbs/rxe_ring.cc): another thread's mappings
    // must not count.
    const script = `
      import('ibverbs').then(({ open }) => {
        const { parentPort, workerData } = require('node:worker_threads')
        const context = open(workerData)
        const domain = context.allocateProtectionDomain()
        const kept = []
        for (let i = 0; i < 60; i++) {
          const cq = context.createCompletionQueue(8)
          const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 4 })
          pair.initialize()
          pair.prepareReceive({}).post(i)
          if (pair.submit() !== 1 || cq.poll() !== 0) throw new Error('not ready')
          kept.push({ cq, pair })
          // The oldest of a few goes while others come, so that addresses are used again.
          if (kept.length > 3) {
            const { cq, pair } = kept.shift()
            pair.modify({ state: 'ERR' })
            const end = performance.now() + ${limit}
            while (cq.poll() === 0) if (performance.now() > end) throw new Error('the flush did not come')
            if (cq.cookie[0] !== i - 3 || cq.queuePairNumber[0] !== pair.number) throw new Error('of another queue')
            pair.close()
            cq.close()
          }
        }
        parentPort.postMessage('done')
      })`
    const ended = [names[0], names[0], names[1]].map(async (workerData) => {
      const worker = new Worker(script, { eval: true, workerData })
      const signal = AbortSignal.timeout(100_000)
      const [message] = await once(worker, 'message', { signal })
      await worker.terminate()
      return message
    })
    expect(await Promise.all(ended)).toEqual(['done', 'done', 'done'])
  })

  it('cannot be given a handle', () => {
    const { pair, memory, cq } = rxe.side('RC')
    for (const handle of [pair, memory, cq]) {
      // A clone is at most a plain object: the handle is a private field.
      let clone: unknown
      try {
        clone = structuredClone(handle)
      } catch (error) {
        expect(error).toMatchObject({ name: 'DataCloneError' })
        continue
      }
      expect(clone).not.toBeInstanceOf(Object.getPrototypeOf(handle).constructor)
    }
  })

  it('sees the memory of a region passed to it', async () => {
    const [a, b] = rxe.connected('RC')
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       parentPort.once('message', (bytes) => {
         for (let i = 0; i < 1000; i++) bytes[i] = i * 3
         parentPort.postMessage(bytes[2000])
       })`,
      { eval: true },
    )
    a.memory.bytes[2000] = 99
    worker.postMessage(a.memory.bytes)
    expect((await once(worker, 'message', { signal: AbortSignal.timeout(limit) }))[0]).toBe(99)
    await worker.terminate()
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(1, 0, 1000)
    a.pair.submit()
    await completion(b.cq)
    expectBytes(
      b.memory.bytes.subarray(0, 1000),
      Uint8Array.from({ length: 1000 }, (_, i) => i * 3),
    )
  })

  it('that ends by itself without closing leaves nothing behind', async () => {
    const script = `
      import('ibverbs').then(({ open }) => {
        const context = open('${names[0]}')
        const cq = context.createCompletionQueue(16)
        const pair = context.allocateProtectionDomain().createQueuePair({ type: 'RC', cq, maxSendWr: 4, maxReceiveWr: 4 })
        pair.initialize()
        pair.prepareReceive({}).post(1)
        pair.submit()
        cq.unref().wait()
      })`
    const before = rdmaResources()
    const worker = new Worker(script, { eval: true })
    const [code] = await once(worker, 'exit', { signal: AbortSignal.timeout(limit) })
    expect(code).toBe(0)
    expect(rdmaResources()).toEqual(before)
  })
})

describe('a process', () => {
  const start = `const { start } = await import(${JSON.stringify(traffic.href)});`

  it('that exits in mid-traffic without closing exits with its code', async () => {
    const before = rdmaResources()
    const ended = await node(`${start} start((round) => round === 20 && process.exit(0))`)
    expect(ended).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
    expect(rdmaResources()).toEqual(before)
  })

  it('that exits while a worker of it has traffic exits with its code', async () => {
    const before = rdmaResources()
    const ended = await node(`
      import { Worker } from 'node:worker_threads'
      new Worker(new URL(${JSON.stringify(traffic.href)}), { execArgv: [] }).once('message', () => process.exit(5))`)
    expect(ended).toEqual({ code: 5, signal: null, stdout: '', stderr: '' })
    expect(rdmaResources()).toEqual(before)
  })

  it('that dies of an exception in mid-traffic reports it', async () => {
    const ended = await node(`${start} start((round) => { if (round === 20) throw new Error('on purpose') })`)
    expect(ended.stderr).toContain('on purpose')
    expect([ended.code, ended.signal]).toEqual([1, null])
  })

  it('that is killed leaves nothing behind in the kernel', async () => {
    const before = rdmaResources()
    const ended = await node(
      `${start} start((round) => round === 20 && process.kill(process.pid, 'SIGKILL'))`,
    )
    expect(ended.signal).toBe('SIGKILL')
    expect(rdmaResources()).toEqual(before)
  })

  it('lives while it waits for a completion or an event, and ends when that is unref’d', async () => {
    // An unref'd timer fires only if something else keeps the process alive until then; without that the process must
    // end.
    const timer = "setTimeout(() => { console.log('alive'); process.exit(0) }, 500).unref()"
    const run = (wait: string) =>
      node(`
        import { open } from 'ibverbs'
        const context = open('${names[0]}')
        const cq = context.createCompletionQueue(1)
        ${wait}`)
    const cases = [
      `cq.wait(); ${timer}`,
      `context.nextEvent(); ${timer}`,
      'cq.unref().wait(); context.unref().nextEvent()',
      '',
    ]
    expect(
      (await Promise.all(cases.map(run))).map(({ code, stdout, stderr }) => [code, stdout, stderr]),
    ).toEqual([
      [0, 'alive\n', ''],
      [0, 'alive\n', ''],
      [0, '', ''],
      [0, '', ''],
    ])
  })
})

describe('ref and unref', () => {
  /** The last value that the binding got for each of the two descriptors. */
  function listening() {
    const last = { completions: false, events: false }
    const { referenceCompletions, referenceEvents } = native.verbs
    native.verbs.referenceCompletions = (context, on) => {
      last.completions = on
      referenceCompletions(context, on)
    }
    native.verbs.referenceEvents = (context, on) => {
      last.events = on
      referenceEvents(context, on)
    }
    onTestFinished(() => {
      Object.assign(native.verbs, { referenceCompletions, referenceEvents })
    })
    return last
  }

  it('of a completion queue count while it is waited on', async () => {
    const last = listening()
    const { context, cq } = rxe.side('RC')
    const second = context.createCompletionQueue(1)
    const controller = new AbortController()
    const { signal } = controller
    const ended: Promise<unknown>[] = []
    const wait = (queue: typeof cq, options?: object) =>
      ended.push(queue.wait(options).catch((error) => error))
    wait(cq, { signal })
    expect(last.completions).toBe(true)
    cq.unref()
    expect(last.completions).toBe(false)
    cq.ref().ref()
    expect(last.completions).toBe(true)
    wait(second.unref())
    expect(last.completions).toBe(true)
    cq.unref().unref()
    expect(last.completions).toBe(false)
    second.ref()
    expect(last.completions).toBe(true)
    second.close()
    expect(last.completions).toBe(false)
    cq.ref()
    expect(last.completions).toBe(true)
    controller.abort()
    expect(last.completions).toBe(false)
    cq.unref().ref() // no wait is pending
    expect(last.completions).toBe(false)
    wait(cq)
    expect(last.completions).toBe(true)
    context.close()
    expect(await Promise.all(ended)).toHaveLength(3)
    expect(last.events).toBe(false)
  })

  it('of a context count while an event is waited for', async () => {
    const last = listening()
    const context = rxe.context()
    const controller = new AbortController()
    const waiting = context.nextEvent({ signal: controller.signal }).catch((error) => error.name)
    expect(last.events).toBe(true)
    context.unref()
    expect(last.events).toBe(false)
    context.ref()
    expect(last.events).toBe(true)
    controller.abort()
    expect(last.events).toBe(false)
    expect(await waiting).toBe('AbortError')
    context.unref()
    const again = context.nextEvent().catch((error) => error.code)
    expect(last.events).toBe(false)
    context.close()
    expect(await again).toBe('ERR_IBVERBS_CLOSED')
    expect(last.completions).toBe(false)
  })
})

describe('spawning children', () => {
  it('gives them no descriptor of a device', () => {
    rxe.side('RC')
    const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(stdout).toContain('/dev/null')
    expect(stdout).not.toMatch(/uverbs|infiniband/)
  })

  it('during traffic corrupts nothing', async () => {
    // fork() without ibv_fork_init would give the child the pinned pages and the parent copies of them.
    const [a, b] = rxe.connected('RC')
    const send = a.pair.prepareSend({ memory: a.memory })
    const receive = b.pair.prepareReceive({ memory: b.memory })
    const children: Promise<unknown>[] = []
    for (let i = 0; i < 40; i++) {
      receive.post(i, (i % 8) * 4096, 4096)
      b.pair.submit()
      if (i % 8 === 0) children.push(once(spawn('true'), 'exit'))
      if (i % 8 === 4) expect(spawnSync('true').status).toBe(0)
      // Written after the fork: these bytes would go to a copy.
      a.memory.bytes.set(pattern(4096, i), 100)
      send.post(i, 100, 4096)
      a.pair.submit()
      expect(outcome(rows(b.cq, await b.cq.wait({ signal: AbortSignal.timeout(limit) })))).toEqual([
        [i, 'SUCCESS'],
      ])
      expectBytes(b.memory.bytes.subarray((i % 8) * 4096, (i % 8) * 4096 + 4096), pattern(4096, i))
      await completion(a.cq)
    }
    for (const [code] of (await Promise.all(children)) as [number][]) expect(code).toBe(0)
  })
})

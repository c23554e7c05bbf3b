import { inspect } from 'node:util'
import { type AddressHandle, open } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import {
  collectGarbage,
  completion,
  completions,
  expectBytes,
  names,
  outcome,
  pattern,
  rdmaResources,
  resources,
  rows,
  type Side,
  soft,
  thrownBy,
  until,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()

interface Everything extends Side {
  addressHandle: AddressHandle
}

function everything(): Everything {
  const side = rxe.side('UD')
  side.pair.connect()
  return { ...side, addressHandle: side.domain.createAddressHandle(side.pair.endpoint) }
}

const kinds = ['context', 'domain', 'memory', 'cq', 'pair', 'addressHandle'] as const
type KindName = (typeof kinds)[number]

/** The kinds that closing each kind closes with it. */
const takes: Record<KindName, KindName[]> = {
  context: [...kinds],
  domain: ['domain', 'memory', 'pair', 'addressHandle'],
  memory: ['memory'],
  cq: ['cq', 'pair'],
  pair: ['pair'],
  addressHandle: ['addressHandle'],
}

describe('close', () => {
  it.each(kinds)('of a %s takes what hangs from it and nothing else, and may come twice', (kind) => {
    const all = everything()
    const before = native.handleCount()
    expect(kinds.filter((each) => all[each].closed)).toEqual([])
    all[kind].close()
    expect(kinds.filter((each) => all[each].closed)).toEqual(
      kinds.filter((each) => takes[kind].includes(each)),
    )
    expect(native.handleCount()).toBe(before - takes[kind].length)
    all[kind].close()
    for (const each of takes[kind]) all[each].close()
    expect(native.handleCount()).toBe(before - takes[kind].length)
  })

  it('may come in any order', () => {
    for (let shift = 0; shift < kinds.length; shift++) {
      const all = everything()
      for (let i = 0; i < kinds.length; i++) all[kinds[(i * 5 + shift) % kinds.length]].close()
      expect(kinds.every((kind) => all[kind].closed)).toBe(true)
    }
  })

  it.skipIf(soft)('gives the kernel everything back', () => {
    const before = rdmaResources()
    const all = everything()
    const during = rdmaResources()
    expect([
      during.pd - before.pd,
      during.mr - before.mr,
      during.cq - before.cq,
      during.qp - before.qp,
    ]).toEqual([1, 1, 1, 1])
    expect(during.ctx - before.ctx).toBe(1)
    all.context.close()
    expect(rdmaResources()).toEqual(before)
  })

  it('is also Symbol.dispose and Symbol.asyncDispose', async () => {
    const { memory, pair, context } = everything()
    memory[Symbol.dispose]()
    expect(memory.closed).toBe(true)
    await pair[Symbol.asyncDispose]()
    expect(pair.closed).toBe(true)
    context[Symbol.dispose]()
    context[Symbol.dispose]()
    expect(context.closed).toBe(true)
  })

  it('with requests outstanding on both halves returns', async () => {
    const [a, b] = rxe.connected('RC')
    const receive = a.pair.prepareReceive({ memory: a.memory })
    for (let i = 0; i < 64; i++) receive.post(i)
    a.pair.submit()
    const send = a.pair.prepareSend({ memory: a.memory, signaled: false })
    for (let i = 0; i < 10; i++) send.post(i, 0, 10) // no receive is posted: RNR, again and again
    a.pair.submit()
    a.pair.close()
    expect(a.cq.poll()).toBe(0)
    expect(a.cq.freeEntries).toBe(a.cq.entries)
    b.context.close()
  })
})

describe('asynchronous disposal', () => {
  it.each(['pair', 'cq', 'domain', 'context'] as const)(
    'of a %s lets its sends complete first',
    async (kind) => {
      const [a, b] = rxe.connected('RC', { entries: 128 })
      a.memory.bytes.set(pattern(64 << 10, 5))
      const receive = b.pair.prepareReceive({ memory: b.memory })
      for (let i = 0; i < 20; i++) receive.post(i)
      b.pair.submit()
      const send = a.pair.prepareSend({ memory: a.memory })
      for (let i = 0; i < 20; i++) send.post(100 + i, 0, 64 << 10)
      // Not even submitted: disposal submits too.
      await a[kind][Symbol.asyncDispose]()
      expect([a[kind].closed, a.pair.closed]).toEqual([true, true])
      expect(outcome(await completions(b.cq, 20))).toEqual(
        Array.from({ length: 20 }, (_, i) => [i, 'SUCCESS']),
      )
      expectBytes(b.memory.bytes.subarray(0, 64 << 10), pattern(64 << 10, 5))
      await a[kind][Symbol.asyncDispose]()
    },
  )

  it('drain() leaves the completions to be polled', async () => {
    const [a, b] = rxe.connected('RC')
    const receive = b.pair.prepareReceive({})
    const [loud, silent] = [a.pair.prepareSend({}), a.pair.prepareSend({ signaled: false })]
    for (let i = 0; i < 10; i++) {
      receive.post(i)
      ;(i % 2 ? loud : silent).post(i)
    }
    b.pair.submit()
    await a.pair.drain()
    expect(outcome(rows(a.cq, a.cq.poll()))).toEqual([1, 3, 5, 7, 9].map((i) => [i, 'SUCCESS']))
    expect(a.pair.sendOutstanding).toBe(0)
    await a.pair.drain()
    expect(a.cq.poll()).toBe(0)
  })

  it('drain() ends when the peer is gone, with failed completions', async () => {
    const [a, b] = rxe.connected('RC', {}, { retryCount: 1, timeout: 10 })
    b.pair.close()
    a.pair.prepareSend({}).post(1)
    a.pair.prepareSend({}).post(2)
    await a.pair.drain()
    expect(outcome(rows(a.cq, a.cq.poll()))).toEqual([
      [1, 'RETRY_EXC_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ])
  })

  it('drain() ends in states that hold sends back, and when the queue pair is closed meanwhile', async () => {
    const { pair: early } = rxe.side('RC')
    early.prepareSend({}).post(1)
    await early.drain()
    expect(early.error?.message).toContain('is in RESET and must be in RTS')

    const [a] = rxe.connected('RC')
    a.pair.modify({ state: 'SQD' })
    a.pair.prepareSend({}).post(1)
    await a.pair.drain() // in SQD no request would ever complete
    expect(a.pair.sendOutstanding).toBe(1)
    await a.pair[Symbol.asyncDispose]()

    const [c] = rxe.connected('RC', {}, { rnrRetry: 6, minRnrTimer: 31 })
    c.pair.prepareSend({}).post(1)
    const draining = c.pair.drain()
    c.pair.close()
    await draining
    await expect(c.pair.drain()).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })
})

/** The error that a call throws or rejects with. */
async function failure(call: () => unknown): Promise<Error & { code?: string }> {
  try {
    await call()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('after close', () => {
  const uses: [string, KindName, (all: Everything) => unknown][] = [
    ['queryDevice', 'context', ({ context }) => context.queryDevice()],
    ['queryPort', 'context', ({ context }) => context.queryPort()],
    ['queryPkey', 'context', ({ context }) => context.queryPkey(1, 0)],
    ['queryGidTable', 'context', ({ context }) => context.queryGidTable()],
    ['allocateProtectionDomain', 'context', ({ context }) => context.allocateProtectionDomain()],
    ['createCompletionQueue', 'context', ({ context }) => context.createCompletionQueue(1)],
    ['nextEvent', 'context', ({ context }) => context.nextEvent()],
    ['registerMemory', 'domain', ({ domain }) => domain.registerMemory(1)],
    ['createQueuePair', 'domain', ({ domain, cq }) => domain.createQueuePair({ type: 'RC', cq })],
    ['createAddressHandle', 'domain', ({ domain, pair }) => domain.createAddressHandle(pair.endpoint)],
    ['createQueuePair with it', 'cq', ({ domain, cq }) => domain.createQueuePair({ type: 'RC', cq })],
    ['freeEntries', 'cq', ({ cq }) => cq.freeEntries],
    ['poll', 'cq', ({ cq }) => cq.poll()],
    ['wait', 'cq', ({ cq }) => cq.wait()],
    ['spin', 'cq', ({ cq }) => cq.spin(1)],
    ['state', 'pair', ({ pair }) => pair.state],
    ['query', 'pair', ({ pair }) => pair.query()],
    ['modify', 'pair', ({ pair }) => pair.modify({ state: 'ERR' })],
    ['connect', 'pair', ({ pair }) => pair.connect()],
    ['initialize', 'pair', ({ pair }) => pair.initialize()],
    ['submit', 'pair', ({ pair }) => pair.submit()],
    [
      'prepareSend',
      'pair',
      ({ pair, addressHandle }) => pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 }),
    ],
    ['prepareReceive', 'pair', ({ pair }) => pair.prepareReceive({})],
    ['prepareReceive with it', 'memory', ({ pair, memory }) => pair.prepareReceive({ memory })],
    [
      'prepareSend with it',
      'addressHandle',
      ({ pair, addressHandle }) => pair.prepareSend({ addressHandle, remoteQueuePair: 1, remoteQueueKey: 1 }),
    ],
  ]
  it.each(uses)('%s of a closed %s throws ERR_IBVERBS_CLOSED', async (_, kind, use) => {
    const all = everything()
    all[kind].close()
    const error = await failure(() => use(all))
    expect(error).toBeInstanceOf(Error)
    expect(error.code).toBe('ERR_IBVERBS_CLOSED')
    expect(error.message).toMatch(/^the .+ is closed$/)
  })

  it('of the context every use of its children throws too', async () => {
    const all = everything()
    all.context.close()
    for (const [name, , use] of uses) {
      const error = await failure(() => use(all))
      expect([name, error.code]).toEqual([name, 'ERR_IBVERBS_CLOSED'])
    }
    // ref and unref only set the behaviour of a future wait: harmless.
    all.context.ref().unref()
    all.cq.ref().unref()
  })

  it('a prepared request is harmless, and submit throws', () => {
    const [a] = rxe.connected('RC')
    const send = a.pair.prepareSend({ memory: a.memory })
    a.pair.close()
    expect(send.post(1)).toBe(0)
    expect(thrownBy(() => a.pair.submit())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    expect([a.pair.sendOutstanding, a.pair.receiveOutstanding, a.pair.error]).toEqual([0, 0, null])
    expect(a.pair.endpoint.type).toBe('RC')
  })
})

describe('util.inspect', () => {
  it('describes a handle, open and closed', () => {
    const all = everything()
    const { pair, memory, cq } = all
    const shown = (kind: KindName) => inspect(all[kind], { breakLength: Number.POSITIVE_INFINITY })
    expect(shown('context')).toBe(`Context { name: '${names[0]}', closed: false }`)
    expect(shown('domain')).toBe(`ProtectionDomain { device: '${names[0]}', closed: false }`)
    expect(shown('memory')).toBe(
      `MemoryRegion { length: 131072, lkey: ${memory.lkey}, rkey: ${memory.rkey}, access: ${inspect(
        memory.access,
        {
          breakLength: Number.POSITIVE_INFINITY,
        },
      )}, closed: false }`,
    )
    expect(shown('cq')).toBe(`CompletionQueue { entries: ${cq.entries}, batch: 64, closed: false }`)
    expect(shown('pair')).toBe(
      `QueuePair { type: 'UD', number: ${pair.number}, state: 'RTS', closed: false }`,
    )
    expect(shown('addressHandle')).toContain(`gid: '${pair.endpoint.gid}'`)
    all.context.close()
    for (const [kind, name] of [
      ['context', 'Context'],
      ['domain', 'ProtectionDomain'],
      ['memory', 'MemoryRegion'],
      ['cq', 'CompletionQueue'],
      ['pair', 'QueuePair'],
      ['addressHandle', 'AddressHandle'],
    ] as const) {
      expect(shown(kind)).toBe(`${name} { closed: true }`)
    }
  })
})

describe('an unreachable object', () => {
  it('is freed with its context when that becomes unreachable', async () => {
    await collectGarbage()
    const before = resources()
    ;(() => {
      const context = open(names[0])
      const domain = context.allocateProtectionDomain()
      const cq = context.createCompletionQueue(16)
      const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 4, maxReceiveWr: 4 })
      pair.initialize()
      pair.prepareReceive({ memory: domain.registerMemory(1 << 20) }).post(1)
      pair.submit()
    })()
    expect(native.handleCount()).toBe(5)
    await until(() => {
      globalThis.gc?.()
      return native.handleCount() === 0
    })
    expect(resources()).toEqual(before)
  })

  it('is not freed while a child of it is reachable', async () => {
    const cq = (() => open(names[0]).createCompletionQueue(16))()
    await collectGarbage()
    expect(cq.closed).toBe(false)
    expect(cq.poll()).toBe(0)
    cq.context.close()
  })

  it('stays under a posted request until it completes', async () => {
    const [a, b] = rxe.connected('RC')
    a.memory.bytes.set(pattern(60_000, 7))
    const { remote, buffer } = (() => {
      const region = b.domain.registerMemory(64 << 10, { access: ['LOCAL_WRITE', 'REMOTE_READ'] })
      region.bytes.fill(0xaa)
      b.pair.prepareReceive({ memory: region }).post(1)
      b.pair.submit()
      return { remote: region.remote, buffer: new WeakRef(region.bytes.buffer) }
    })()
    await collectGarbage()
    // Another object would lie there by now, had the memory been freed.
    const others = Array.from({ length: 50 }, () =>
      new Uint8Array(new SharedArrayBuffer(64 << 10)).fill(0x55),
    )
    expect(buffer.deref()).toBeDefined()
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 60_000)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: 60_000 })
    expect(others.every((bytes) => bytes.every((byte) => byte === 0x55))).toBe(true)
    a.pair.prepareRead({ memory: a.memory, remote }).post(3, 64 << 10, 64 << 10)
    a.pair.submit()
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [2, 'SUCCESS'],
      [3, 'SUCCESS'],
    ])
    expectBytes(a.memory.bytes.subarray(64 << 10, (64 << 10) + 60_000), pattern(60_000, 7))
    expectBytes(a.memory.bytes.subarray((64 << 10) + 60_000), new Uint8Array((64 << 10) - 60_000).fill(0xaa))
  })
})

describe('memory that is handed out', () => {
  it('can be neither detached nor transferred, and outlives its handle', async () => {
    const [a, b] = rxe.connected('RC')
    const views: ArrayBufferView<SharedArrayBuffer>[] = [
      a.memory.bytes,
      a.memory.arena.bytes,
      ...(['cookie', 'status', 'opcode', 'byteLength', 'immediate', 'flags'] as const).map(
        (name) => a.cq[name] as Uint32Array<SharedArrayBuffer>,
      ),
    ]
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 100)
    for (const { buffer } of views) {
      expect(buffer).toBeInstanceOf(SharedArrayBuffer)
      // ArrayBuffer.prototype.transfer exists in Node 22 and later, and takes no SharedArrayBuffer.
      const { transfer } = ArrayBuffer.prototype as { transfer?: () => unknown }
      if (transfer) expect(() => transfer.call(buffer)).toThrow(TypeError)
      expect(() => structuredClone(buffer, { transfer: [buffer as never] })).toThrow()
      expect(buffer.byteLength).toBeGreaterThan(0)
      const clone = structuredClone(buffer) // the same memory
      new Uint8Array(clone).fill(0)
    }
    a.pair.submit()
    expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
    a.context.close()
    for (const view of views) {
      const bytes = new Uint8Array(view.buffer)
      bytes.fill(3)
      expect(bytes.at(-1)).toBe(3)
    }
  })
})

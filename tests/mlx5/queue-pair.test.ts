/**
 * Messages by the driver of ibverbs/mlx5: what any mix of requests does is what it does by libibverbs, and what becomes of
 * requests when a queue pair fails, is reset or is gone.
 */
import {
  type CompletionQueue,
  type Context,
  type MemoryRegion,
  open,
  type ProtectionDomain,
  type QueuePair,
} from 'ibverbs'
import {
  createCompletionQueue,
  createQueuePair,
  type Driver,
  direct,
  type Mlx5CompletionQueueOptions,
  type Mlx5QueuePairOptions,
} from 'ibverbs/mlx5'
import { type SoftConnectX, softConnectX } from 'ibverbs/soft'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { collectGarbage, node, thrownBy } from '../beds/process.js'
import { Random } from '../beds/random.js'
import { completions, outcome, pattern } from '../beds/rxe.js'

const size = 1 << 16
const access = ['LOCAL_WRITE', 'REMOTE_WRITE', 'REMOTE_READ', 'REMOTE_ATOMIC'] as const

interface Side {
  context: Context
  domain: ProtectionDomain
  memory: MemoryRegion
  sendCq: CompletionQueue
  receiveCq: CompletionQueue
  pair: QueuePair
}

let soft: SoftConnectX
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

function side(driver: Driver, device = 0, options: Partial<Mlx5QueuePairOptions> = {}): Side {
  const context = open(soft.devices()[device].name)
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(size, { access: [...access] })
  const { maxSendWr = 64, maxReceiveWr = 64 } = options
  const sendCq = createCompletionQueue(domain, maxSendWr, { driver })
  const receiveCq = createCompletionQueue(domain, maxReceiveWr, { driver })
  const pair = createQueuePair(domain, { type: 'RC', sendCq, receiveCq, driver, ...options })
  return { context, domain, memory, sendCq, receiveCq, pair }
}

function connect(a: QueuePair, b: QueuePair): void {
  a.connect(b.endpoint)
  b.connect(a.endpoint)
}

function connected(
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

/** What a completion tells whoever asked for it. */
function told(cq: CompletionQueue, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const [status, opcode] = [cq.statusName(i), cq.opcodeName(i)]
    const words: (string | number)[] = [cq.cookie[i], status, opcode]
    if (status !== 'SUCCESS') return words.join(' ')
    words.push(cq.flags[i])
    // libmlx5 leaves the rest of a send's completion as it was.
    if (opcode.startsWith('RECV')) words.push(cq.byteLength[i], cq.immediate[i])
    else if (opcode !== 'SEND' && opcode !== 'RDMA_WRITE') words.push(cq.byteLength[i])
    return words.join(' ')
  })
}

/** Takes completions until the queue pair waits for no more than `left` requests. */
async function settle(
  cq: CompletionQueue,
  outstanding: () => number,
  left: number,
  log: string[],
): Promise<void> {
  // By polls: a completion that nobody asked for ends no wait.
  for (;;) {
    log.push(...told(cq, cq.poll()))
    if (outstanding() <= left) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const sizes = { maxSendWr: 6, maxReceiveWr: 5, maxSendSge: 4, maxReceiveSge: 3, maxInline: 100 }

/** A few hundred random requests from `a` to `b`: what both ends were told, and what their memory then holds. */
async function converse(drivers: readonly [Driver, Driver], type: 'RC' | 'UC' | 'UD', seed: number) {
  const random = new Random(seed)
  // In a completion with data of the message libmlx5 reads flags out of that data.
  const scatter = drivers.map((driver) => (driver === 'mlx5' || type === 'UD' ? {} : { scatterToCqe: false }))
  using both = connected(drivers, { type, ...sizes }, scatter)
  const { a, b } = both
  for (const [i, { memory }] of [a, b].entries()) memory.bytes.set(pattern(size, seed + i))
  /** What the device will make of the first cells, which atomics alone change. */
  const cells = new BigUint64Array(b.memory.bytes.slice(0, 64).buffer)
  const words = new Uint32Array(cells.buffer)
  const log = { sends: [] as string[], receives: [] as string[] }
  const room = type === 'UD' ? 40 : 0
  /** Elements of so many bytes in all, in the first half of the memory, which nobody writes to. */
  const list = (memory: MemoryRegion, total: number, most: number) => {
    const count = random.integer(1, most)
    const cuts = Array.from({ length: count - 1 }, () => random.integer(0, total)).sort((x, y) => x - y)
    return [...cuts, total].map((end, i) => ({
      memory,
      offset: random.below(size / 2 - 1000),
      length: end - (cuts[i - 1] ?? 0),
    }))
  }
  // What is written, read or received has a place of its own.
  let next = size / 2
  const place = (length: number) => {
    if (next + length > size) next = size / 2
    next += (length + 7) & ~7
    return next - ((length + 7) & ~7)
  }
  const to =
    type === 'UD'
      ? {
          addressHandle: a.domain.createAddressHandle(b.pair.endpoint),
          remoteQueuePair: b.pair.number,
          remoteQueueKey: b.pair.endpoint.queueKey,
        }
      : {}
  const kinds = { UD: ['send'], UC: ['send', 'write'], RC: ['send', 'write', 'read', 'swap', 'add'] }[type]
  for (let step = 0; step < 100; step++) {
    const batch = random.integer(1, 3)
    await settle(a.sendCq, () => a.pair.sendOutstanding, sizes.maxSendWr - batch, log.sends)
    for (let i = 0; i < batch; i++) {
      const kind = random.pick(kinds)
      const cookie = step * 10 + i
      const inline = random.chance(0.4)
      const length = random.chance(0.1) ? 0 : random.integer(1, inline ? sizes.maxInline : 400)
      const flags = { signaled: random.chance(0.6), fence: random.chance(0.2), solicited: random.chance(0.3) }
      const immediate = random.chance(0.5) ? random.u32() : undefined
      if (kind === 'send' || (kind === 'write' && immediate !== undefined)) {
        await settle(b.receiveCq, () => b.pair.receiveOutstanding, sizes.maxReceiveWr - 1, log.receives)
        const at = place(room + 400)
        const cut = random.integer(0, room + 400)
        const elements = [
          { memory: b.memory, offset: at, length: cut },
          { memory: b.memory, offset: at + cut, length: room + 400 - cut },
        ]
        b.pair.prepareReceive({ elements }).post(cookie)
        expect(b.pair.submit()).toBe(1)
      }
      const elements = list(a.memory, length, sizes.maxSendSge)
      if (kind === 'send') a.pair.prepareSend({ elements, inline, immediate, ...flags, ...to }).post(cookie)
      else if (kind === 'write') {
        const { remote } = b.memory
        const write = a.pair.prepareWrite({ elements, inline, immediate, remote, ...flags })
        write.post(cookie, 0, 0, place(length))
      } else if (kind === 'read') {
        const { remote } = b.memory
        a.pair
          .prepareRead({ memory: a.memory, remote, ...flags })
          .post(cookie, place(length), length, random.below(999))
      } else {
        const options = { memory: a.memory, remote: b.memory.remote, ...flags }
        const [at, remoteAt] = [place(8), 8 * random.below(8)]
        const [low, high] = [random.u32(), random.u32()]
        if (kind === 'add') {
          a.pair.prepareFetchAndAdd(options).post(cookie, at, remoteAt, low, high)
          cells[remoteAt / 8] += (BigInt(high) << 32n) | BigInt(low)
        } else {
          // Half of them find what they compare with.
          const found = random.chance(0.5)
          const [was, wasHigh] = found ? [words[remoteAt / 4], words[remoteAt / 4 + 1]] : [low, high]
          a.pair.prepareCompareAndSwap(options).post(cookie, at, remoteAt, was, wasHigh, high, low)
          if (found) words.set([high, low], remoteAt / 4)
        }
      }
    }
    expect([a.pair.submit(), a.pair.error]).toEqual([batch, null])
  }
  // The last request asks for a completion, so that none is under way behind it.
  await settle(a.sendCq, () => a.pair.sendOutstanding, sizes.maxSendWr - 1, log.sends)
  await settle(b.receiveCq, () => b.pair.receiveOutstanding, sizes.maxReceiveWr - 1, log.receives)
  b.pair.prepareReceive({ memory: b.memory }).post(7777, place(100), 100)
  expect(b.pair.submit()).toBe(1)
  a.pair.prepareSend({ memory: a.memory, ...to }).post(7777, 0, 50)
  expect(a.pair.submit()).toBe(1)
  await settle(a.sendCq, () => a.pair.sendOutstanding, 0, log.sends)
  await settle(b.receiveCq, () => b.pair.receiveOutstanding, 0, log.receives)
  expect(b.memory.bytes.slice(0, 64)).toEqual(new Uint8Array(cells.buffer))
  return { ...log, a: Buffer.from(a.memory.bytes), b: Buffer.from(b.memory.bytes) }
}

describe('random requests, laps of small rings', () => {
  for (const type of ['RC', 'UC', 'UD'] as const) {
    test(`of ${type} do by either driver, on either side, what they do by libibverbs`, async () => {
      for (const seed of [1, 2]) {
        const wanted = await converse(['libibverbs', 'libibverbs'], type, seed)
        expect(wanted.sends.length).toBeGreaterThan(80)
        for (const drivers of [
          ['mlx5', 'libibverbs'],
          ['libibverbs', 'mlx5'],
          ['mlx5', 'mlx5'],
        ] as const) {
          const seen = await converse(drivers, type, seed)
          expect(seen.sends).toEqual(wanted.sends)
          expect(seen.receives).toEqual(wanted.receives)
          expect(seen.a.equals(wanted.a)).toBe(true)
          expect(seen.b.equals(wanted.b)).toBe(true)
        }
      }
    })
  }
})

describe('the bounds of a request', () => {
  test('inline data of every length up to the granted, from every place of the ring, aligned or not', async () => {
    using both = connected(['mlx5', 'libibverbs'], { maxInline: 200, maxSendWr: 4 })
    const { a, b } = both
    a.memory.bytes.set(pattern(size, 5))
    const { maxInline } = a.pair.capabilities
    expect(maxInline).toBeGreaterThanOrEqual(200)
    const send = a.pair.prepareSend({ memory: a.memory, inline: true })
    for (let length = 0; length <= maxInline; length++) {
      b.pair.prepareReceive({ memory: b.memory }).post(length, 0, 4096)
      b.pair.submit()
      send.post(length, 64 + (length & 7), length)
      // They may change right after submit.
      expect(a.pair.submit()).toBe(1)
      const wanted = Buffer.from(a.memory.bytes.subarray(64 + (length & 7), 64 + (length & 7) + length))
      await completions(b.receiveCq, 1)
      expect(b.receiveCq.byteLength[0]).toBe(length)
      expect(Buffer.from(b.memory.bytes.subarray(0, length)).equals(wanted)).toBe(true)
      await completions(a.sendCq, 1)
    }
    send.post(1, 0, maxInline + 1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({ code: 'EINVAL', cookie: 1, syscall: 'ibv_post_send' })
    expect(a.pair.error?.message).toContain(`${maxInline + 1} bytes inline: the most is ${maxInline}`)
  })

  test('a list of every length; elements of no bytes take no place', async () => {
    const most = 12
    using both = connected(['mlx5', 'mlx5'], {
      maxSendSge: most,
      maxReceiveSge: most,
      maxSendWr: 3,
      maxReceiveWr: 3,
    })
    const { a, b } = both
    a.memory.bytes.set(pattern(size, 6))
    for (let count = 0; count <= most; count++) {
      const elements = Array.from({ length: count }, (_, i) => ({
        offset: i * 100,
        length: i % 3 === 1 ? 0 : i + 1,
      }))
      const of = (memory: MemoryRegion) => elements.map((element) => ({ memory, ...element }))
      b.memory.bytes.fill(0)
      b.pair.prepareReceive({ elements: of(b.memory) }).post(count)
      b.pair.submit()
      a.pair.prepareSend({ elements: of(a.memory) }).post(count)
      expect(a.pair.submit()).toBe(1)
      expect(outcome(await completions(a.sendCq, 1))).toEqual([[count, 'SUCCESS']])
      expect(outcome(await completions(b.receiveCq, 1))).toEqual([[count, 'SUCCESS']])
      for (const { offset, length } of elements) {
        const [sent, came] = [a, b].map(({ memory }) => memory.bytes.slice(offset, offset + length))
        expect(came).toEqual(sent)
      }
      expect(b.memory.bytes.filter((byte) => byte !== 0).length).toBeLessThanOrEqual(
        elements.reduce((sum, { length }) => sum + length, 0),
      )
    }
  })

  test('a region that is closed between post and submit is refused; the request behind it waits', () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a } = both
    const gone = a.domain.registerMemory(4096)
    a.pair.prepareSend({ memory: gone }).post(1)
    expect(a.pair.submit()).toBe(1) // it is in the table of regions now
    a.pair.prepareSend({ memory: gone }).post(2)
    a.pair.prepareSend({ memory: a.memory }).post(3, 0, 10)
    gone.close()
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error?.message).toBe(
      'EINVAL: ibv_post_send: element 0 names a memory region that is closed',
    )
    expect(a.pair.error?.cookie).toBe(2)
    expect([a.pair.submit(), a.pair.error]).toEqual([1, null])
  })

  test('nothing is posted before the state allows it, and it stays for another try', () => {
    const a = side('mlx5')
    a.pair.prepareReceive({ memory: a.memory }).post(1)
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 8)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error?.message).toContain('the queue pair is in RESET and must be in INIT or later')
    a.pair.initialize()
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.error?.message).toContain('the queue pair is in INIT and must be in RTS')
    a.pair.connect(a.pair.endpoint)
    expect([a.pair.submit(), a.pair.error]).toEqual([1, null])
    a.context.close()
  })
})

describe('a queue pair that fails', () => {
  test('tells of the request that failed, flushes those behind it, unsignalled too, and its receives', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    for (const cookie of [1, 2]) a.pair.prepareReceive({ memory: a.memory }).post(cookie, 0, 100)
    a.pair.submit()
    const remote = { ...b.memory.remote, rkey: b.memory.rkey ^ 0x100 }
    a.pair.prepareWrite({ memory: a.memory, remote }).post(10, 0, 8)
    a.pair.prepareSend({ memory: a.memory, signaled: false }).post(11, 0, 8)
    a.pair.prepareFetchAndAdd({ memory: a.memory, remote: b.memory.remote }).post(12, 0, 0, 1, 0)
    expect(a.pair.submit()).toBe(3)
    expect((await completions(a.sendCq, 3)).map(({ cookie, status }) => [cookie, status])).toEqual([
      [10, 'REM_ACCESS_ERR'],
      [11, 'WR_FLUSH_ERR'],
      [12, 'WR_FLUSH_ERR'],
    ])
    expect(outcome(await completions(a.receiveCq, 2))).toEqual([
      [1, 'WR_FLUSH_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ])
    expect([a.pair.state, a.pair.sendOutstanding, a.pair.receiveOutstanding]).toEqual(['ERR', 0, 0])
    a.pair.modify({ state: 'RESET' })
    b.pair.modify({ state: 'RESET' })
    connect(a.pair, b.pair)
    b.pair.prepareReceive({ memory: b.memory }).post(5)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(6, 0, 100)
    expect(a.pair.submit()).toBe(1)
    expect(outcome(await completions(a.sendCq, 1))).toEqual([[6, 'SUCCESS']])
    expect(outcome(await completions(b.receiveCq, 1))).toEqual([[5, 'SUCCESS']])
  })
})

/** Several pairs of one device that send to themselves, over one completion queue that is as large as they need. */
function shared(count: number, depth: number) {
  const context = open(soft.devices()[0].name)
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(size)
  const cq = createCompletionQueue(domain, count * 2 * depth, { driver: 'mlx5' })
  const make = (): QueuePair => {
    const [maxSendWr, maxReceiveWr] = [depth, depth]
    const pair = createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', maxSendWr, maxReceiveWr })
    pair.connect(pair.endpoint)
    return pair
  }
  /** Sends `depth` messages to itself, and waits until the device has done so. */
  const fill = async (pair: QueuePair, cookie: number): Promise<void> => {
    for (let i = 0; i < depth; i++) {
      pair.prepareReceive({ memory }).post(cookie + i, 0, 100)
      pair.prepareSend({ memory }).post(cookie + i, 0, 10)
    }
    expect(pair.submit()).toBe(2 * depth)
    await pair.drain()
  }
  return { context, cq, make, fill }
}

describe('entries that nobody has polled', () => {
  test.each(['reset', 'closed'] as const)(
    'of a queue pair that is %s are gone, their places free',
    async (how) => {
      const depth = 8
      const { context, cq, make, fill } = shared(3, depth)
      const pairs = [make(), make(), make()]
      let cookie = 0
      for (let lap = 0; lap < 6; lap++) {
        const wanted: number[] = []
        const went = lap % 3
        for (const [i, pair] of pairs.entries()) {
          await fill(pair, cookie)
          if (i !== went) for (let k = 0; k < depth; k++) wanted.push(cookie + k)
          cookie += depth
        }
        // Nothing was polled: the queue is full.
        const pair = pairs[went]
        if (how === 'reset') {
          pair.modify({ state: 'RESET' })
          pair.connect(pair.endpoint)
        } else {
          pair.close()
          pairs[went] = make()
        }
        // As many fit in again.
        await fill(pairs[went], cookie)
        for (let k = 0; k < depth; k++) wanted.push(cookie + k)
        cookie += depth
        const seen: number[] = []
        const states = new Set<string>()
        for (let n = cq.poll(); n > 0; n = cq.poll()) {
          for (let i = 0; i < n; i++) {
            states.add(cq.statusName(i))
            if (cq.opcodeName(i) === 'RECV') seen.push(cq.cookie[i])
          }
        }
        expect(seen).toEqual(wanted)
        expect([...states]).toEqual(['SUCCESS'])
        expect(pairs.map((each) => each.sendOutstanding + each.receiveOutstanding)).toEqual([0, 0, 0])
      }
      expect(cq.freeEntries).toBe(cq.entries - 6 * depth)
      context.close()
    },
  )
})

describe('sleeping', () => {
  test('five hundred times on either side, and none is lost', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    const ends = [a, b].map((end) => ({
      ...end,
      send: end.pair.prepareSend({ memory: end.memory, signaled: false }),
    }))
    for (const { pair, memory } of ends) {
      for (let i = 0; i < 8; i++) pair.prepareReceive({ memory }).post(i, 1024, 64)
      pair.submit()
    }
    const turn = async (from: number, solicitedOnly: boolean): Promise<void> => {
      const { pair, send } = ends[from]
      const { receiveCq, pair: peer, memory } = ends[1 - from]
      const coming = receiveCq.wait({ solicitedOnly })
      if (solicitedOnly)
        pair.prepareSend({ memory: ends[from].memory, signaled: false, solicited: true }).post(1, 0, 8)
      else send.post(1, 0, 8)
      expect(pair.submit()).toBe(1)
      expect(await coming).toBe(1)
      peer.prepareReceive({ memory }).post(1, 1024, 64)
      peer.submit()
      ends[from].sendCq.poll()
    }
    for (let i = 0; i < 500; i++) {
      await turn(0, i % 2 === 0)
      await turn(1, i % 3 === 0)
    }
  })

  test('a wait that was aborted takes its event along: the next sleeps, and wakes', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    for (let i = 0; i < 20; i++) {
      b.pair.prepareReceive({ memory: b.memory }).post(i)
      b.pair.submit()
      const controller = new AbortController()
      const aborted = b.receiveCq.wait({ signal: controller.signal })
      controller.abort()
      await expect(aborted).rejects.toThrow('aborted')
      const waiting = b.receiveCq.wait()
      a.pair.prepareSend({ memory: a.memory }).post(i, 0, 8)
      a.pair.submit()
      expect(await waiting).toBe(1)
      await completions(a.sendCq, 1)
    }
  })
})

describe('the end', () => {
  const things = ['pair', 'sendCq', 'receiveCq', 'memory', 'domain'] as const
  const orders = (left: readonly string[]): string[][] =>
    left.length < 2
      ? [[...left]]
      : left.flatMap((one) => orders(left.filter((each) => each !== one)).map((rest) => [one, ...rest]))

  test('closing in every order, with requests under way, harms nobody; calls then say that it is closed', () => {
    for (const order of orders(things)) {
      const a = side('mlx5')
      a.pair.connect(a.pair.endpoint)
      const receive = a.pair.prepareReceive({ memory: a.memory })
      for (let i = 0; i < 4; i++) receive.post(i)
      a.pair.prepareSend({ memory: a.memory }).post(1, 0, 100)
      expect(a.pair.submit()).toBe(5)
      for (const name of order) {
        const each = a[name as (typeof things)[number]]
        each.close()
      }
      expect(a.pair.closed && a.sendCq.closed && a.receiveCq.closed).toBe(true)
      expect(thrownBy(() => a.pair.submit()).code).toBe('ERR_IBVERBS_CLOSED')
      expect(thrownBy(() => a.sendCq.poll()).code).toBe('ERR_IBVERBS_CLOSED')
      expect(a.pair.sendOutstanding).toBe(0)
      a.context.close()
    }
  })

  test('a wait ends with its queue', async () => {
    const a = side('mlx5')
    const waiting = a.sendCq.wait()
    a.context.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })

  test('what is no longer reachable is freed', async () => {
    ;(() => {
      const a = side('mlx5')
      a.pair.connect(a.pair.endpoint)
      a.pair.prepareSend({ memory: a.memory }).post(1, 0, 8)
      a.pair.submit()
    })()
    while (native.handleCount() > 0) await collectGarbage()
  })
})

describe('what a driver of messages does not do is refused in words', () => {
  const refused: [string, string, (a: Side) => unknown][] = [
    [
      'raw frames',
      `"options.type" must be 'RC', 'UC' or 'UD' with driver 'mlx5': raw frames have a driver in PacketQueue, with backend 'mlx5'`,
      ({ domain, sendCq: cq }) => createQueuePair(domain, { type: 'RAW_PACKET', cq, driver: 'mlx5' }),
    ],
    [
      'messages in completions',
      `"options.scatterToCqe" must be left out or false with driver 'mlx5'`,
      ({ domain, sendCq: cq }) =>
        createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', scatterToCqe: true }),
    ],
    [
      'compressed completions',
      `"options.compression" must be left out: driver 'mlx5' reads entries of messages, one each`,
      ({ domain }) => createCompletionQueue(domain, 8, { driver: 'mlx5', compression: 'HASH' }),
    ],
    [
      'the device’s clock in completions',
      `"options.timestamps" must be left out or false with driver 'mlx5'`,
      ({ domain }) => createCompletionQueue(domain, 8, { driver: 'mlx5', timestamps: true }),
    ],
    [
      'a completion queue of libibverbs',
      `"options.receiveCq" must be a completion queue that ibverbs/mlx5's createCompletionQueue created with the same driver`,
      ({ domain, sendCq, context }) =>
        createQueuePair(domain, {
          ...{ type: 'RC', driver: 'mlx5', sendCq, maxSendWr: 1 },
          receiveCq: context.createCompletionQueue(64),
        }),
    ],
    [
      'a queue pair of libibverbs on its completion queue',
      `"options.cq" must be a completion queue of libibverbs: its driver is ibverbs/mlx5's, which only queue pairs with that driver can use`,
      ({ domain, sendCq: cq }) => domain.createQueuePair({ type: 'RC', cq }),
    ],
    [
      'an unknown driver',
      `"options.driver" must be one of libibverbs, mlx5, not 'mlx4'`,
      ({ domain }) =>
        createCompletionQueue(domain, 8, { driver: 'mlx4' } as unknown as Mlx5CompletionQueueOptions),
    ],
  ]
  test.each(refused)('%s', (_, words, refuse) => {
    const a = side('mlx5', 0, { maxSendWr: 8, maxReceiveWr: 8 })
    const before = native.handleCount()
    expect(thrownBy(() => refuse(a)).message).toContain(words)
    expect(native.handleCount() - before).toBeLessThanOrEqual(1) // the queue of libibverbs
    a.context.close()
  })

  test('its rings are not for direct()', () => {
    const a = side('mlx5')
    for (const each of [() => direct(a.pair), () => direct(a.sendCq)]) {
      expect(thrownBy(each)).toMatchObject({ code: 'ERR_IBVERBS_DIRECT' })
      expect(thrownBy(each).message).toContain('the driver of ibverbs/mlx5 has the rings of this')
    }
    a.pair.connect(a.pair.endpoint)
    a.pair.prepareReceive({ memory: a.memory }).post(1)
    expect(a.pair.submit()).toBe(1)
    a.context.close()
  })
})

const program = `
import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'
const soft = softConnectX({ wire: 'loop', strict: true })
const context = open(soft.devices()[0].name)
const domain = context.allocateProtectionDomain()
const memory = domain.registerMemory(4096, { access: ['LOCAL_WRITE', 'REMOTE_WRITE'] })
const cq = createCompletionQueue(domain, 24, { driver: 'mlx5' })
const pair = createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', maxSendWr: 4, maxReceiveWr: 4, maxInline: 32 })
pair.connect(pair.endpoint)
const receive = pair.prepareReceive({ memory })
const send = pair.prepareSend({ memory, signaled: false, inline: true })
const write = pair.prepareWrite({ memory, remote: memory.remote })
const words = new Uint32Array(memory.bytes.buffer, memory.bytes.byteOffset, 1024)
let [messages, writes] = [0, 0]
for (let i = 1; i <= 100; i++) {
  words[0] = i
  receive.post(i, 1024, 16)
  send.post(i, 0, 16)
  write.post(i, 0, 16, 2048)
  if (pair.submit() !== 3) throw pair.error
  for (let left = 2; left > 0; ) {
    const n = i % 10 === 0 && left === 2 ? await cq.wait() : cq.poll()
    for (let row = 0; row < n; row++) {
      if (cq.statusName(row) !== 'SUCCESS' || cq.cookie[row] !== i) throw new Error(cq.statusName(row))
      if (cq.opcodeName(row) === 'RECV') messages += words[256] === i ? 1 : 0
      else writes += words[512] === i ? 1 : 0
    }
    left -= n
  }
}
process.stdout.write(messages + ' messages, ' + writes + ' writes, ' + soft.violations().length + ' violations')
context.close()
soft.close()
`

test.each<Record<string, string>>([
  { IBVERBS_ATOMICS: '1' },
  { MLX5_CQE_SIZE: '128' },
  { MLX5_SCATTER_TO_CQE: '1' },
])('messages whole and in order with %j', async (env) => {
  expect(await node(program, { env })).toEqual({
    code: 0,
    signal: null,
    stdout: '100 messages, 100 writes, 0 violations',
    stderr: '',
  })
})

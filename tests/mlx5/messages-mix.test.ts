/** Messages by the driver of ibverbs/mlx5: what any mix of requests does is what it does by libibverbs. */
import type { CompletionQueue, MemoryRegion } from 'ibverbs'
import type { Driver } from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { node } from '../beds/process.js'
import { Random } from '../beds/random.js'
import { pattern } from '../beds/rxe.js'
import { connected, size, useMessages } from './messages.js'

useMessages()

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

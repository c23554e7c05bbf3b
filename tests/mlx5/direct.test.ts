/** Rings driven from TypeScript, over the distribution's libmlx5, on the software ConnectX. */

import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  createCompletionQueue,
  createQueuePair,
  type DirectCompletionQueue,
  decodeCompletion,
  decodeSendRequest,
  direct,
  isSupported,
  layout,
  queryDevice,
} from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { spawnSync } from '../beds/child.js'
import { look, writeFrame, writeInline, writeMessage, writeReceive } from './by-hand.js'
import { useCard } from './card.js'

const card = useCard()

/** A queue pair that is connected to itself, and its queues. */
function loop(type: 'RC' | 'RAW_PACKET', sizes: { maxSendWr?: number; maxReceiveWr?: number } = {}) {
  const sendCq = createCompletionQueue(card.domain, 64)
  const receiveCq = createCompletionQueue(card.domain, 64)
  const pair = createQueuePair(card.domain, { type, sendCq, receiveCq, maxInline: 44, ...sizes })
  if (type === 'RC') pair.connect(pair.endpoint)
  else pair.connect()
  return { pair, sendCq, receiveCq }
}

/** Reads a completion queue entry by entry, and sleeps until each has come. */
class Sleeper {
  readonly queue: DirectCompletionQueue
  #index = 0
  /** Events that were taken. */
  #events = 0

  constructor(queue: DirectCompletionQueue) {
    this.queue = queue
  }

  async next(): Promise<Uint8Array> {
    for (;;) {
      const entry = look(this.queue, this.#index)
      if (entry) {
        const copy = entry.slice()
        this.queue.setConsumerIndex(++this.#index & 0xffffff)
        return copy
      }
      this.queue.arm(this.#events & 3, this.#index & 0xffffff)
      if (look(this.queue, this.#index)) continue // it came before the arming, which then tells of the one after it
      await this.queue.event()
      this.#events++
    }
  }
}

test('what the device can do', () => {
  expect(isSupported(card.context)).toBe(true)
  const device = queryDevice(card.context)
  expect(device.flags).toContain('CQE_V1')
  expect(device.maxDynamicRegisters).toBeGreaterThan(0)
})

describe('the rings', () => {
  test('are as large as the queues, with whole pages of their own', () => {
    const { pair, sendCq } = loop('RC', { maxSendWr: 100, maxReceiveWr: 30 })
    const rings = direct(pair)
    expect(rings.send).toMatchObject({ stride: 64 })
    expect(rings.send.count).toBeGreaterThanOrEqual(100)
    expect(rings.receive).toMatchObject({ count: 32, stride: 16 })
    expect(rings.send.bytes.length).toBe(rings.send.count * 64)
    expect(rings.number).toBe(pair.number)
    const queue = direct(sendCq)
    expect(queue).toMatchObject({ stride: 64, count: 128 })
    expect(queue.bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(queue.bytes.buffer).not.toBe(rings.send.bytes.buffer)
    expect(look(queue, 0)).toBeUndefined()
  })

  test('of requests that are larger than thought', () => {
    const cq = createCompletionQueue(card.domain, 64)
    const pair = createQueuePair(card.domain, {
      type: 'RC',
      cq,
      maxSendSge: 20,
      maxReceiveSge: 20,
      maxSendWr: 50,
    })
    const { send, receive } = direct(pair)
    expect(send.count).toBeGreaterThanOrEqual(50 * 6)
    expect(receive.stride).toBeGreaterThanOrEqual(20 * 16)
  })

  test('serve libibverbs as long as nobody takes them', async () => {
    const { pair, sendCq, receiveCq } = loop('RC')
    const memory = card.domain.registerMemory(64)
    memory.bytes.set([7, 8, 9])
    pair.prepareReceive({ memory }).post(1, 32, 3)
    pair.prepareSend({ memory }).post(2, 0, 3)
    expect(pair.submit()).toBe(2)
    expect(await receiveCq.wait()).toBe(1)
    expect(await sendCq.wait()).toBe(1)
    expect(memory.bytes.slice(32, 36)).toEqual(new Uint8Array([7, 8, 9, 0]))
  })
})

test('messages: requests, doorbells and completions written and read by hand, laps and laps', async () => {
  const { pair, sendCq, receiveCq } = loop('RC', { maxSendWr: 4, maxReceiveWr: 4 })
  const memory = card.domain.registerMemory(8192)
  const rings = direct(pair)
  const [sends, receives] = [sendCq, receiveCq].map((cq) => new Sleeper(direct(cq)))
  for (let i = 0; i < 300; i++) {
    memory.bytes.fill(i, 0, 64)
    writeReceive(rings, i, { memory, offset: 4096, length: 64 })
    rings.publishReceives((i + 1) & 0xffff)
    if (i % 2 === 0) {
      writeMessage(rings, i, { memory, offset: 0, length: 64 })
      rings.ringSend((i + 1) & 0xffff, i & 0xffff)
    } else {
      // In the request, and with it into the register.
      rings.ringSend((i + 1) & 0xffff, i & 0xffff, writeInline(rings, i, memory.bytes.subarray(0, 40)))
    }
    const length = i % 2 === 0 ? 64 : 40
    const received = decodeCompletion(await receives.next())
    expect(received).toMatchObject({ opcode: 'RESP_SEND' })
    const value = (name: string) => received.segments[0].fields.find((field) => field.name === name)?.value
    expect([value('byteCount'), value('wqeCounter')]).toEqual([length, i])
    expect(memory.bytes.subarray(4096, 4096 + length).every((byte) => byte === (i & 0xff))).toBe(true)
    expect(decodeCompletion(await sends.next())).toMatchObject({ opcode: 'REQ' })
  }
  const at = (299 & (rings.send.count - 1)) * 64
  expect(decodeSendRequest(rings.send.bytes.subarray(at, at + 64), { type: 'RC' })).toMatchObject({
    index: 299,
    opcode: 'SEND',
  })
})

test('frames: checksums asked for, and what the completion says of them', async () => {
  const { pair, sendCq, receiveCq } = loop('RAW_PACKET')
  pair.createFlow('allDefault')
  const memory = card.domain.registerMemory(8192)
  const rings = direct(pair)
  const [sends, receives] = [sendCq, receiveCq].map((cq) => new Sleeper(direct(cq)))
  // An IPv4 frame of UDP to ourselves, without its checksums.
  const frame = Uint8Array.from(
    Buffer.from(
      '020000000001020000000002080045000020000000004011000000000a0000010a000002030903090000c0ffee0000000000',
      'hex',
    ),
  )
  frame[38] = 0
  frame[39] = 12
  memory.bytes.set(frame)
  writeReceive(rings, 0, { memory, offset: 4096, length: 2048 })
  rings.publishReceives(1)
  const { L3_CSUM, L4_CSUM } = layout.EthernetFlag
  writeFrame(rings, 0, { memory, offset: 0, length: frame.length }, L3_CSUM | L4_CSUM)
  rings.ringSend(1, 0)
  const received = decodeCompletion(await receives.next(), { type: 'RAW_PACKET' })
  const texts = Object.fromEntries(received.segments[0].fields.map(({ name, text }) => [name, text]))
  expect(texts).toMatchObject({
    byteCount: String(frame.length),
    checks: 'L2_OK | L3_OK | L4_OK',
    l3HeaderType: 'IPV4',
    l4HeaderType: 'UDP',
  })
  expect(memory.bytes.subarray(4096, 4096 + 24)).toEqual(frame.subarray(0, 24))
  expect(memory.bytes.subarray(4096 + 24, 4096 + 26)).not.toEqual(frame.subarray(24, 26))
  expect(decodeCompletion(await sends.next())).toMatchObject({ opcode: 'REQ' })
})

test('an error completion, in words', async () => {
  const { pair, sendCq } = loop('RC')
  const memory = card.domain.registerMemory(64)
  const rings = direct(pair)
  writeMessage(rings, 0, { memory, offset: 60, length: 64 })
  rings.ringSend(1, 0)
  const failed = decodeCompletion(await new Sleeper(direct(sendCq)).next())
  expect(failed).toMatchObject({
    opcode: 'REQ_ERR',
    syndrome: 'LOCAL_PROT_ERR',
    explanation: expect.stringContaining('the bytes lie outside it'),
  })
  expect(pair.state).toBe('ERR')
})

describe('one owner', () => {
  test('who takes the rings is the only driver, for good', async () => {
    const { pair, sendCq } = loop('RC')
    const memory = card.domain.registerMemory(64)
    const send = pair.prepareSend({ memory })
    const receive = pair.prepareReceive({ memory })
    const queue = direct(sendCq)
    direct(pair)
    const calls = [
      () => send.post(0),
      () => receive.post(0),
      () => pair.submit(),
      () => sendCq.poll(),
      () => sendCq.wait(),
      () => sendCq.spin(1),
      () => direct(pair),
      () => direct(sendCq),
    ]
    for (const call of calls) {
      expect(await thrown(call)).toMatchObject({
        code: 'ERR_IBVERBS_DIRECT',
        message: expect.stringMatching(
          /^direct\(\) handed over the rings of this (queue pair|completion queue): /,
        ),
      })
    }
    expect(queue.number).toBeGreaterThan(0)
    await pair.drain()
  })

  test('a queue that is waited on is not handed over', async () => {
    const { sendCq } = loop('RC')
    const aborter = new AbortController()
    const wait = sendCq.wait({ signal: aborter.signal })
    expect(await thrown(() => direct(sendCq))).toMatchObject({ code: 'ERR_IBVERBS_BUSY' })
    aborter.abort()
    await expect(wait).rejects.toThrow()
    const queue = direct(sendCq)
    const event = queue.event({ signal: AbortSignal.timeout(10) })
    expect(await thrown(() => queue.event())).toMatchObject({ code: 'ERR_IBVERBS_BUSY' })
    await expect(event).rejects.toMatchObject({ name: 'TimeoutError' })
  })

  test('of other queues libmlx5 keeps the rings', async () => {
    const cq = card.context.createCompletionQueue(8)
    const pair = card.domain.createQueuePair({ type: 'RC', cq, maxSendWr: 2, maxReceiveWr: 2 })
    for (const call of [() => direct(cq), () => direct(pair)]) {
      expect(await thrown(call)).toMatchObject({
        code: 'EINVAL',
        message: expect.stringContaining('libmlx5 keeps the rings of a queue that'),
      })
    }
    // @ts-expect-error
    expect(await thrown(() => direct({}))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
    expect(cq.poll()).toBe(0)
  })
})

describe('after close()', () => {
  test('calls throw, the memory stays, and nothing rings', async () => {
    const { pair, sendCq } = loop('RC')
    const rings = direct(pair)
    const queue = direct(sendCq)
    rings.send.bytes[0] = 77
    const event = queue.event()
    card.context.close()
    await expect(event).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    for (const call of [
      () => rings.ringSend(1, 0),
      () => queue.arm(0, 0),
      () => queue.event(),
      () => direct(pair),
    ]) {
      expect(await thrown(call)).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    }
    expect(rings.send.bytes[0]).toBe(77)
    rings.send.bytes.fill(255)
    rings.publishReceives(1)
    queue.setConsumerIndex(1)
  })

  test('in any order', () => {
    for (const order of [
      ['pair', 'sendCq', 'receiveCq'],
      ['sendCq', 'pair', 'receiveCq'],
      ['receiveCq', 'sendCq', 'pair'],
    ] as const) {
      const queues = loop('RC')
      direct(queues.pair)
      direct(queues.sendCq)
      for (const name of order) queues[name].close()
      expect(order.every((name) => queues[name].closed)).toBe(true)
    }
  })
})

test('numbers that are no counters', () => {
  const { pair, sendCq } = loop('RC')
  const rings = direct(pair)
  const queue = direct(sendCq)
  for (const call of [
    () => rings.ringSend(65536, 0),
    () => rings.ringSend(0, -1),
    () => rings.ringSend(0, 0, rings.blueFlame + 1),
    () => rings.publishReceives(0.5),
    () => queue.setConsumerIndex(1 << 24),
    () => queue.arm(4, 0),
    () => queue.arm(0, -1),
  ]) {
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
  }
})

const traffic = join(import.meta.dirname, 'programs/traffic.mjs')

test.each([
  ['process.exit()', 'exit'],
  ['close() of the context', 'context'],
  ['close() of the queues, and collection', 'queues'],
])('a process that ends in direct traffic by %s does not crash', (_, way) => {
  for (let i = 0; i < 3; i++) {
    const { status, signal, stderr } = spawnSync(process.execPath, ['--expose-gc', traffic, way], {
      encoding: 'utf8',
    })
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
  }
})

test('a worker that is terminated in direct traffic takes its rings with it', async () => {
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(traffic, { workerData: { way: 'message', device: card.context.name } })
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    await worker.terminate()
  }
  expect(loop('RC').pair.state).toBe('RTS')
})

async function thrown(call: () => unknown): Promise<Error | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    return error as Error
  }
}

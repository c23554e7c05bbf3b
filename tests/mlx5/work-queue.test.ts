/** Work queues, indirection tables and RSS queue pairs: filled and read by hand. */
import { type MemoryRegion, type ProtectionDomain, VerbsError } from 'ibverbs'
import {
  createCompletionQueue,
  createIndirectionTable,
  createRssQueuePair,
  createWorkQueue,
  type DirectWorkQueue,
  decodeCompletion,
  direct,
  layout,
  type RssQueuePairOptions,
  type WorkQueueOptions,
} from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { thrownBy } from '../beds/process.js'
import { Random } from '../beds/random.js'
import { useCard } from './card.js'

const card = useCard()
const { dataSegment, nextSegment } = layout

/** Writes a request of one element; of a striding queue it lies behind a next segment. */
function writeRequest(
  ring: DirectWorkQueue,
  counter: number,
  memory: MemoryRegion,
  offset: number,
  length: number,
): void {
  const head = ring.stride > dataSegment.length ? nextSegment.length : 0
  const at = (counter & (ring.count - 1)) * ring.stride + head
  const { byteCount, key, address } = dataSegment.fields
  ring.view.setUint32(at + byteCount.offset, length)
  ring.view.setUint32(at + key.offset, memory.lkey)
  ring.view.setBigUint64(at + address.offset, memory.address + BigInt(offset))
}

function queueOf(domain: ProtectionDomain, options: Partial<WorkQueueOptions> = {}) {
  const cq = createCompletionQueue(domain, 256)
  const queue = createWorkQueue(domain, { cq, maxWr: 8, ...options })
  queue.modify({ state: 'RDY' })
  return { cq, queue, ring: direct(queue), completions: direct(cq) }
}

const macs = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2]
/** UDP over IPv4 from this port. */
function datagram(port: number, length = 60): Uint8Array {
  const bytes = new Uint8Array(length)
  const ip = length - 14
  bytes.set([...macs, 8, 0, 0x45, 0, ip >> 8, ip & 255, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
  bytes.set([port >> 8, port & 255, 0x0f, 0xa1, (ip - 20) >> 8, (ip - 20) & 255, 0, 0], 34)
  return bytes
}

/** Sends frames by another driver, one after the other. */
async function send(frames: readonly Uint8Array[]): Promise<void> {
  const { context, domain } = card
  const cq = context.createCompletionQueue(64)
  using pair = domain.createQueuePair({ type: 'RAW_PACKET', cq, maxSendWr: 32, maxReceiveWr: 1 })
  pair.connect()
  const memory = domain.registerMemory(frames.length * 2048)
  const request = pair.prepareSend({ memory })
  for (const [i, frame] of frames.entries()) {
    memory.bytes.set(frame, i * 2048)
    request.post(i, i * 2048, frame.length)
  }
  expect(pair.submit()).toBe(frames.length)
  for (let done = 0; done < frames.length; ) done += await cq.wait()
}

test('RSS: the frames of a connection come to one queue, connections to all, each with its hash', async () => {
  const { domain } = card
  const memory = domain.registerMemory(64 * 2048)
  const queues = [0, 1].map((n) => {
    const each = queueOf(domain, { maxWr: 32 })
    for (let i = 0; i < 32; i++) writeRequest(each.ring, i, memory, (n * 32 + i) * 2048, 2048)
    each.ring.publishReceives(32)
    return each
  })
  const table = createIndirectionTable(queues.map(({ queue }) => queue))
  const pair = createRssQueuePair(domain, {
    table,
    fields: ['SRC_IPV4', 'DST_IPV4', 'SRC_PORT_UDP', 'DST_PORT_UDP'],
  })
  pair.createFlow({ etherType: 0x0800 }, { tag: 0x123456 })
  const ports = Array.from({ length: 16 }, (_, i) => 4000 + (i >> 1))
  for (const { completions } of queues) completions.arm(0, 0)
  await send(ports.map((port) => datagram(port)))
  const seen = new Map<number, Set<number>>()
  const hashes = new Map<number, Set<unknown>>()
  let [got, most] = [0, 0]
  for (const [n, { completions }] of queues.entries()) {
    await completions.event()
    let here = 0
    for (;;) {
      const entry = completions.bytes.slice(here * 64, here * 64 + 64)
      if (entry[63] >> 4 !== layout.CqeOpcode.RESP_SEND) break
      const { fields } = decodeCompletion(entry, { type: 'RAW_PACKET' }).segments[0]
      const of = (name: string) => fields.find((field) => field.name === name)?.value
      expect([of('flowTag'), of('byteCount')]).toEqual([0x123456, 60])
      const at = (n * 32 + (of('wqeCounter') as number)) * 2048
      const port = (memory.bytes[at + 34] << 8) | memory.bytes[at + 35]
      seen.set(port, (seen.get(port) ?? new Set()).add(n))
      hashes.set(port, (hashes.get(port) ?? new Set()).add(of('rssHash')))
      // The low bits of the hash chose the queue.
      expect((of('rssHash') as number) & 1).toBe(n)
      here++
    }
    got += here
    most = Math.max(most, here)
  }
  expect(got).toBe(16)
  expect(most).toBeLessThan(16)
  for (const set of [...seen.values(), ...hashes.values()]) expect(set.size).toBe(1)
  expect(new Set([...hashes.values()].flatMap((set) => [...set])).size).toBe(8)
})

test('striding: a request takes many frames, a filler passes over what is left of it', async () => {
  const { domain } = card
  const memory = domain.registerMemory(16 * 1024)
  const { queue, ring, completions } = queueOf(domain, { striding: { strideBytes: 1024, strides: 8 } })
  expect(queue.striding).toEqual({ strideBytes: 1024, strides: 8, twoByteShift: false })
  expect(ring.stride).toBe(32)
  writeRequest(ring, 0, memory, 0, 8192)
  writeRequest(ring, 1, memory, 8192, 8192)
  ring.publishReceives(2)
  const pair = createRssQueuePair(domain, { table: createIndirectionTable([queue]), fields: [] })
  pair.createFlow('allDefault')
  completions.arm(0, 0)
  // Strides 0, 1–2, …: seven of eight, and the next frame needs two.
  const lengths = [100, 1500, 1500, 1500, 1025]
  await send(lengths.map((length, i) => datagram(4000 + i, length)))
  await completions.event()
  const told: unknown[] = []
  for (let i = 0; told.length < 6; i++) {
    while (completions.bytes[i * 64 + 63] >> 4 === layout.CqeOpcode.INVALID) await new Promise(setImmediate)
    const view = completions.view
    const word = view.getUint32(i * 64 + 44)
    told.push([view.getUint16(i * 64 + 60), word >>> 31, (word >>> 16) & 0x7fff, word & 0xffff])
  }
  expect(told).toEqual([
    [0, 0, 1, 100],
    [1, 0, 2, 1500],
    [3, 0, 2, 1500],
    [5, 0, 2, 1500],
    [7, 1, 1, 0],
    [0, 0, 2, 1025],
  ])
  expect([...memory.bytes.subarray(8192 + 34, 8192 + 36)]).toEqual([4004 >> 8, 4004 & 255])
})

test('a request with a wrong key: an error completion in words, and the event WQ_FATAL of this queue', async () => {
  const { domain, context } = card
  const memory = domain.registerMemory(4096)
  const { queue, ring, completions } = queueOf(domain)
  writeRequest(ring, 0, memory, 0, 4096)
  ring.view.setUint32(dataSegment.fields.key.offset, memory.lkey ^ 0xff00)
  ring.publishReceives(1)
  const pair = createRssQueuePair(domain, { table: createIndirectionTable([queue]), fields: [] })
  pair.createFlow('allDefault')
  const event = context.nextEvent()
  await send([datagram(4000)])
  expect(await event).toEqual({ type: 'WQ_FATAL', workQueue: queue })
  expect(decodeCompletion(completions.bytes.slice(0, 64)).syndrome).toMatch(/LOCAL_PROT_ERR/)
  queue.modify({ state: 'RESET' })
  queue.modify({ state: 'RDY' })
})

describe('direct', () => {
  test('hands a ring over once; after close its bytes stay readable and lead nowhere', () => {
    const { queue, ring } = queueOf(card.domain)
    expect(thrownBy(() => direct(queue))).toMatchObject({
      code: 'ERR_IBVERBS_DIRECT',
      message: expect.stringContaining('work queue'),
    })
    queue.close()
    ring.bytes.fill(0xff)
    ring.publishReceives(7)
    expect(thrownBy(() => direct(queue))).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    expect(() => ring.publishReceives(65536)).toThrow('producer')
  })
})

test('closes in every order', () => {
  const random = new Random(4)
  const { context } = card
  const before = native.handleCount()
  for (let round = 0; round < 60; round++) {
    const domain = context.allocateProtectionDomain()
    const { cq, queue } = queueOf(domain, round % 2 ? { striding: { strideBytes: 256, strides: 16 } } : {})
    const other = queueOf(domain)
    const table = createIndirectionTable([queue, other.queue, queue, queue])
    const pair = createRssQueuePair(domain, { table, fields: ['SRC_IPV4'] })
    const flow = pair.createFlow({ etherType: 0x0800 })
    const all = [cq, queue, other.cq, other.queue, table, pair, flow, domain]
    for (let left = all.length; left > 0; left--) all.splice(random.below(left), 1)[0].close()
    expect(flow.closed && pair.closed && table.closed && queue.closed).toBe(true)
    expect(native.handleCount()).toBe(before)
  }
})

describe('refused in words', () => {
  const make = (options: object) => () =>
    createWorkQueue(card.domain, {
      cq: createCompletionQueue(card.domain, 64),
      ...options,
    } as WorkQueueOptions)
  test.each([
    [{ maxWr: 0 }, 'options.maxWr'],
    [{ maxSge: 0 }, 'options.maxSge'],
    [{ maxRecvWr: 5 }, '"options.maxRecvWr" is not known'],
    [{ stripVlan: 1 }, 'options.stripVlan'],
    [{ cq: {} }, 'options.cq'],
    [{ striding: { strideBytes: 100, strides: 8 } }, 'options.striding.strideBytes'],
    [{ striding: { strideBytes: 32, strides: 8 } }, 'options.striding.strideBytes'],
    [{ striding: { strideBytes: 64, strides: 4 } }, 'options.striding.strides'],
    [{ striding: { strideBytes: 64, strides: 24 } }, 'options.striding.strides'],
    [{ striding: { strideBytes: 64, strides: 8, shift: true } }, '"options.striding.shift" is not known'],
    [{ maxWr: 256 }, 'the completion queue has'],
    [{ maxWr: 32, striding: { strideBytes: 64, strides: 8 } }, 'maxWr requests may take 256'],
  ])('createWorkQueue %j', (options, message) => {
    const error = thrownBy(make(options)) as VerbsError
    if (message.startsWith('the completion') || message.startsWith('maxWr')) expect(error.code).toBe('ENOSPC')
    expect(error.message).toContain(message)
  })

  test('modify, createIndirectionTable and createRssQueuePair', () => {
    const { domain } = card
    const { queue } = queueOf(domain)
    expect(() => queue.modify({ state: 'READY' as 'RDY' })).toThrow("'RESET', 'RDY' or 'ERR'")
    expect(() => createIndirectionTable([])).toThrow('queues')
    expect(() => createIndirectionTable([queue, queue, queue])).toThrow('as many as a power of two')
    const table = createIndirectionTable([queue, queue])
    const rss = (options: object) => () =>
      createRssQueuePair(domain, { table, fields: ['SRC_IPV4'], ...options } as RssQueuePairOptions)
    expect(rss({ fields: [] })).toThrow('at least one field')
    expect(rss({ fields: ['SRC_IP'] })).toThrow('one of SRC_IPV4, DST_IPV4')
    expect(rss({ key: new Uint8Array(39) })).toThrow('options.key.length')
    expect(rss({ port: 9 })).toThrow('options.port')
    expect(rss({ table: queue })).toThrow('options.table')
    // The kernel refuses ports of two protocols.
    expect(thrownBy(rss({ fields: ['SRC_PORT_TCP', 'SRC_PORT_UDP'] }))).toBeInstanceOf(VerbsError)
    table.close()
    expect(rss({})).toThrow('closed')
  })
})

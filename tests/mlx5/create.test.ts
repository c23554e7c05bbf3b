/** What mlx5dv_create_cq(3) and mlx5dv_create_qp(3) may be asked for, as the device's rings then are. */
import {
  createCompletionQueue,
  createQueuePair,
  decodeCompletion,
  direct,
  layout,
  type Mlx5CompletionQueueOptions,
  type Mlx5QueuePairOptions,
  queryDevice,
} from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { thrownBy } from '../beds/process.js'
import { entryAt, look, writeInline, writeMessage, writeReceive } from './by-hand.js'
import { useCard } from './card.js'

const card = useCard()

function loop(queue: Mlx5CompletionQueueOptions = {}, more: Partial<Mlx5QueuePairOptions> = {}) {
  const sendCq = createCompletionQueue(card.domain, 64, queue)
  const receiveCq = createCompletionQueue(card.domain, 64, queue)
  const pair = createQueuePair(card.domain, { type: 'RC', sendCq, receiveCq, ...more })
  pair.connect(pair.endpoint)
  const memory = card.domain.registerMemory(8192)
  return { sendCq, receiveCq, pair, memory }
}

/** Sends a message to itself by hand; the receive's completion. */
async function exchange({ pair, receiveCq, memory }: ReturnType<typeof loop>, length: number) {
  const rings = direct(pair)
  const completions = direct(receiveCq)
  memory.bytes.set([1, 2, 3, 4, 5, 6, 7, 8])
  writeReceive(rings, 0, { memory, offset: 4096, length: 64 })
  rings.publishReceives(1)
  completions.arm(0, 0)
  writeMessage(rings, 0, { memory, offset: 0, length })
  rings.ringSend(1, 0)
  await completions.event()
  return decodeCompletion(completions.bytes.slice(0, completions.stride))
}

describe('a completion queue', () => {
  test.each([64, 128] as const)(
    'of entries of %i bytes, read by libibverbs and by hand',
    async (entryBytes) => {
      const queues = loop({ entryBytes })
      queues.pair.prepareReceive({ memory: queues.memory }).post(1, 4096, 64)
      queues.pair.prepareSend({ memory: queues.memory }).post(2, 0, 8)
      expect(queues.pair.submit()).toBe(2)
      expect(await queues.receiveCq.wait()).toBe(1)
      expect([queues.receiveCq.cookie[0], queues.receiveCq.byteLength[0]]).toEqual([1, 8])
      const other = loop({ entryBytes })
      expect(direct(other.sendCq).stride).toBe(entryBytes)
      expect((await exchange(other, 8)).bytes.length).toBe(entryBytes)
    },
  )

  test('with compressed completions is for who reads them: polls and waits are refused from the beginning', async () => {
    const { formats } = queryDevice(card.context).compression ?? { formats: [] }
    expect(formats).toContain('HASH')
    const queues = loop({ compression: 'HASH' })
    const refused = expect.objectContaining({
      code: 'ERR_IBVERBS_DIRECT',
      message: expect.stringContaining('are compressed, which libibverbs cannot read'),
    })
    expect(() => queues.receiveCq.poll()).toThrow(refused)
    await expect(queues.receiveCq.wait()).rejects.toMatchObject({ code: 'ERR_IBVERBS_DIRECT' })
    await expect(queues.receiveCq.spin(10)).rejects.toMatchObject({ code: 'ERR_IBVERBS_DIRECT' })
    // One alone is as without compression.
    expect(await exchange(queues, 40)).toMatchObject({ opcode: 'RESP_SEND', format: 'NO_INLINE_DATA' })
  })

  test('with timestamps, each completion with a time of its own', async () => {
    const cq = createCompletionQueue(card.domain, 256, { timestamps: true })
    const pair = createQueuePair(card.domain, { type: 'UC', cq, maxInline: 28 })
    pair.connect(pair.endpoint)
    const [rings, queue] = [direct(pair), direct(cq)]
    // One ring of the bell, so that the NIC finds them in one step.
    for (let i = 0; i < 8; i++) writeInline(rings, i, new Uint8Array(8))
    rings.ringSend(8, 7)
    while (!look(queue, 7)) await new Promise((resolve) => setImmediate(resolve))
    const { offset } = layout.requesterCqe.fields.timestamp
    const times = Array.from({ length: 8 }, (_, i) => queue.view.getBigUint64(entryAt(queue, i) + offset))
    expect(new Set(times).size).toBe(8)
    expect(times).toEqual([...times].sort((a, b) => (a < b ? -1 : 1)))
  })

  test('padded, where the device can and entries have 128 bytes', () => {
    const can = queryDevice(card.context).flags.includes('CQE_128B_PAD')
    const make = () => createCompletionQueue(card.domain, 64, { padded: true, entryBytes: 128 }).close()
    if (can) make()
    else expect(thrownBy(make)).toMatchObject({ syscall: 'mlx5dv_create_cq' })
    expect(
      thrownBy(() => createCompletionQueue(card.domain, 64, { padded: true, entryBytes: 64 })),
    ).toMatchObject({
      syscall: 'mlx5dv_create_cq',
    })
  })

  test.each([
    [{ entryBytes: 96 }, 'options.entryBytes'],
    [{ compression: 'hash' }, 'options.compression'],
    [{ padded: 1 }, 'options.padded'],
    [{ timestamps: 1 }, 'options.timestamps'],
    [{ compresion: 'HASH' }, /"options.compresion" is not known.*compression/],
    [{ batch: 0 }, 'options.batch'],
  ])('%j: refused by name', (options, name) => {
    expect(() => createCompletionQueue(card.domain, 64, options as Mlx5CompletionQueueOptions)).toThrow(name)
  })
})

describe('a queue pair', () => {
  test.each([
    [true, 'INLINE_DATA_32', 0],
    [false, 'NO_INLINE_DATA', 1],
  ] as const)('scatterToCqe %s: a message of 8 bytes comes as %s', async (scatterToCqe, format, first) => {
    const queues = loop({}, { scatterToCqe })
    const completion = await exchange(queues, 8)
    expect(completion).toMatchObject({ opcode: 'RESP_SEND', format })
    expect(queues.memory.bytes[4096]).toBe(first)
    if (scatterToCqe) expect([...completion.bytes.subarray(0, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  test.each([
    [{ scatterToCqe: 1 }, 'options.scatterToCqe'],
    [{ scaterToCqe: true }, /"options.scaterToCqe" is not known.*scatterToCqe/],
  ])('%j: refused by name', (options, name) => {
    const cq = createCompletionQueue(card.domain, 256)
    expect(() =>
      createQueuePair(card.domain, { type: 'RC', cq, ...options } as Mlx5QueuePairOptions),
    ).toThrow(name)
  })
})

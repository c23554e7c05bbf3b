/** JavaScript writes garbage into the rings of a queue on a raw packet queue pair: errors, and no other damage. */
import { FramePool, PacketQueue, type PacketQueueOptions } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { forge, goOn } from '../ethernet/forged-rings.js'
import { collect, frame, queueFrame, transmit } from '../ethernet/traffic.js'

/** Rings between this thread and the binding; those of the mlx5 driver: tests/mlx5/packet-queue.test.ts. */
const backend = 'raw_packet_qp'
/** Words of a ring (lib/ring/ring.ts). */
const [producer, consumer, records] = [0, 16, 32]

function openWire(options?: PacketQueueOptions) {
  const soft = softConnectX({ wire: 'pair' })
  const a = PacketQueue.open('mlx5_soft0', { backend, ...options })
  const b = PacketQueue.open('mlx5_soft1', { backend, ...options })
  const close = (): void => {
    a.close()
    b.close()
    soft.close()
  }
  return { a, b, [Symbol.dispose]: close }
}

describe('an impossible index', () => {
  test.each([producer, consumer])('word %i of the transmit and completion rings', async (word) => {
    using wire = openWire()
    const { a, b } = wire
    a.rings.transmit[word] = 0x12345678
    a.rings.completion[word] = 0x12345678
    queueFrame(a, frame(b, a, 60, 1))
    for (let i = 0; a.pending > 0 && i < 3; i++) a.submit()
    expect(a.pending).toBe(0)
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 1)])
  })

  test('a completion ring that looks full: sent frames stay pending, and go out later', async () => {
    using wire = openWire()
    const { a, b } = wire
    a.rings.completion[consumer] = -a.ringLayouts.completion.capacity
    queueFrame(a, frame(b, a, 60, 1))
    const free = a.frames.free
    expect(a.submit()).toBe(0)
    expect(a.pending).toBe(1)
    expect(a.submit()).toBe(1)
    expect(a.statistics().transmitted).toBe(1)
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 1)])
    a.submit()
    expect(a.frames.free).toBe(free + 1)
  })

  test.each([producer, consumer])('word %i of the fill and receive rings', async (word) => {
    using wire = openWire()
    const { a, b } = wire
    b.rings.fill[word] = 0x12345678
    b.rings.receive[word] = 0x12345678
    transmit(a, frame(b, a, 60, 1))
    const came: Uint8Array[] = []
    for (let looks = 0; came.length === 0 && looks < 10; looks++) {
      try {
        came.push(...(await collect(b, 1)))
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERANGE', message: expect.stringContaining("a ring's index") })
      }
    }
    expect(came).toEqual([frame(b, a, 60, 1)])
  })
})

test('thousands of random words in the rings', async () => {
  const random = new Random(77)
  const errors = new Set<string>()
  using soft = softConnectX({ wire: 'pair' })
  for (let round = 0; round < 20; round++) {
    const frames = new FramePool({ frameCount: 64 })
    using a = PacketQueue.open('mlx5_soft0', { backend, frames, batch: 16, promiscuous: true })
    using b = PacketQueue.open('mlx5_soft1', { backend, frameCount: 64, batch: 16, promiscuous: true })
    for (let i = 0; i < 150; i++) {
      for (const queue of [a, b]) {
        forge(queue, random, 5)
        goOn(queue, random, errors)
      }
      // Gives the device a turn.
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const known = ['EFAULT', 'ERANGE', 'EMSGSIZE', 'ERR_OUT_OF_RANGE']
  expect([...errors].filter((code) => !known.includes(code))).toEqual([])
  expect(errors).toContain('EFAULT')
  expect(errors).toContain('ERANGE')
  // The device still works.
  using a = PacketQueue.open('mlx5_soft0', { backend })
  using b = PacketQueue.open('mlx5_soft1', { backend })
  transmit(a, frame(b, a, 60))
  expect(await collect(b, 1)).toEqual([frame(b, a, 60)])
  expect(soft.closed).toBe(false)
})

test('a completion cannot free a frame that was not sent', () => {
  using wire = openWire()
  const { a, b } = wire
  const mine = a.claim()
  queueFrame(a, frame(b, a, 60))
  a.rings.completion[producer] = 1
  a.rings.completion[records] = a.offset(mine)
  a.submit()
  a.release(mine)
  expect(() => a.release(mine)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
})

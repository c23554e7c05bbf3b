/** JavaScript can write anything into the rings. It may lose its own frames by that, and do no other damage. */
import { FramePool, PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { Random } from '../beds/random.js'
import { forge, goOn } from './forged-rings.js'
import { collect, frame, openWire, queueFrame, transmit } from './traffic.js'

/** The places in a ring: lib/ring/ring.ts. */
const producer = 0
const consumer = 16
const records = 32

test('memory that JavaScript sees can be neither detached nor transferred', () => {
  using wire = openWire()
  for (const view of [wire.a.memory, ...Object.values(wire.a.rings)]) {
    expect(view.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(() => structuredClone(view.buffer, { transfer: [view.buffer as never] })).toThrow()
    expect('transfer' in view.buffer).toBe(false)
  }
})

describe('a record that names no part of a frame', () => {
  test.each([
    ['beyond the arena', { address: 4096 * 2048 }],
    ['at the end of the address space', { address: 2 ** 32 - 1 }],
    ['above 4 GiB', { addressHigh: 1 }],
    ['over the end of its frame', { length: 2049 }],
    ['from within its frame over the end', { address: 1000, length: 1049 }],
    ['over the end of the arena', { address: 4096 * 2048 - 100, length: 101 }],
    ['as long as can be', { length: 2 ** 32 - 1 }],
    ['too short for a header', { length: 13 }],
    ['empty', { length: 0 }],
  ])(
    'in the transmit ring: %s',
    async (_, forged: { address?: number; addressHigh?: number; length?: number }) => {
      using wire = openWire()
      const { a, b } = wire
      queueFrame(a, frame(b, a, 60, 1))
      queueFrame(a, frame(b, a, 60, 2))
      const ring = a.rings.transmit
      if (forged.address !== undefined) ring[records] = forged.address
      if (forged.addressHigh !== undefined) ring[records + 1] = forged.addressHigh
      if (forged.length !== undefined) ring[records + 2] = forged.length
      expect(a.submit()).toBe(0)
      expect(a.error).toMatchObject({ code: 'EFAULT', message: expect.stringContaining('ring record') })
      expect(a.submit()).toBe(1)
      expect(a.error).toBe(null)
      expect(await collect(b, 1)).toEqual([frame(b, a, 60, 2)])
    },
  )

  test.each([[4096 * 2048], [2 ** 32 - 1]])('in the fill ring: %d', async (address) => {
    using wire = openWire()
    const { a, b } = wire
    b.rings.fill[records] = address
    transmit(a, frame(b, a, 60, 3))
    expect(() => b.receive()).toThrow(expect.objectContaining({ code: 'EFAULT', syscall: 'poll' }))
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 3)])
  })

  test('in the fill ring, after the binding has read it', async () => {
    using wire = openWire({ receivePath: 'recvmmsg' })
    const { a, b } = wire
    expect(b.receive()).toBe(0)
    b.rings.fill.fill(2 ** 32 - 1, records)
    const sent = Array.from({ length: 64 }, (_, i) => frame(b, a, 60, i))
    transmit(a, ...sent)
    expect(await collect(b, 64)).toEqual(sent)
  })

  test('in the receive ring', async () => {
    using wire = openWire()
    const { a, b } = wire
    transmit(a, frame(b, a, 60, 1), frame(b, a, 60, 2))
    expect(await b.wait()).toBe(2)
    b.rings.receive[records] = 2 ** 32 - 1
    expect(b.receive()).toBe(1)
    expect(b.length(b.slot(0))).toBe(60)
    expect(b.statistics().invalid).toBe(1)
  })

  test('in the receive ring: a frame that the caller holds is not handed out again', async () => {
    using wire = openWire()
    const { a, b } = wire
    const mine = b.claim()
    transmit(a, frame(b, a, 60))
    await b.wait()
    b.rings.receive[records] = b.offset(mine)
    expect(b.receive()).toBe(0)
    b.release(mine)
  })
})

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

  test('frames of a packet socket complete in the transmit ring itself', () => {
    using wire = openWire()
    const { a, b } = wire
    expect(a.rings.completion.buffer).toBe(a.rings.transmit.buffer)
    const free = a.frames.free
    transmit(a, frame(b, a, 60, 1))
    expect(a.rings.completion[a.ringLayouts.completion.producer]).toBe(1)
    expect(a.frames.free).toBe(free)
  })

  test.each([producer, consumer])('word %i of the fill and receive rings', async (word) => {
    using wire = openWire()
    const { a, b } = wire
    b.rings.fill[word] = 0x12345678
    b.rings.receive[word] = 0x12345678
    transmit(a, frame(b, a, 60, 1))
    let n = 0
    for (let i = 0; n === 0 && i < 3; i++) {
      try {
        n = b.receive()
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERANGE', message: expect.stringContaining("a ring's index") })
      }
    }
    expect(n).toBe(1)
  })
})

test('thousands of random words in the rings and frame records cause errors, and no other harm', () => {
  using wire = openWire()
  const random = new Random(20260101)
  const errors = new Set<string>()
  for (let round = 0; round < 40; round++) {
    const frames = new FramePool({ frameCount: 64 })
    using a = PacketQueue.open(wire.veth.a, { frames, batch: 16, promiscuous: true })
    using b = PacketQueue.open(wire.veth.b, { frameCount: 64, batch: 16, promiscuous: true })
    for (let i = 0; i < 200; i++) {
      for (const queue of [a, b]) {
        forge(queue, random, 5)
        goOn(queue, random, errors)
      }
    }
  }
  expect(
    [...errors].sort().filter((code) => !['EFAULT', 'ERANGE', 'EMSGSIZE', 'ERR_OUT_OF_RANGE'].includes(code)),
  ).toEqual([])
  expect(errors).toContain('EFAULT')
  expect(errors).toContain('ERANGE')
  // The interface still works.
  transmit(wire.a, frame(wire.b, wire.a, 60))
  expect(wire.b.statistics().dropped).toBe(0)
})

test('a completion cannot free a frame that was not sent', () => {
  using wire = openWire()
  const { a, b } = wire
  const mine = a.claim()
  queueFrame(a, frame(b, a, 60))
  const { producer, records } = a.ringLayouts.completion
  a.rings.completion[producer] = 1
  a.rings.completion[records] = a.offset(mine)
  a.submit()
  a.release(mine)
  expect(() => a.release(mine)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
})

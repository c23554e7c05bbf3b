import { Arena, FramePool } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { backends, collect, frame, on, receiveOne, transmit } from './traffic.js'

describe.each(backends)('%s', (backend) => {
  const { openWire, open, xdp, filled, syscalls } = on(backend)

  const stale = (message: RegExp) =>
    expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT', message: expect.stringMatching(message) })

  describe('a slot that the caller does not hold is refused', () => {
    test('after it was released', async () => {
      using wire = openWire()
      transmit(wire.a, frame(wire.b, wire.a, 60))
      const slot = await receiveOne(wire.b)
      wire.b.release(slot)
      const refusal = stale(/slot \d+ is stale: frame \d+ was released, forwarded or sent/)
      expect(() => wire.b.release(slot)).toThrow(refusal)
      expect(() => wire.b.forward(slot)).toThrow(refusal)
      expect(() => wire.b.send(slot, 60)).toThrow(refusal)
      for (const read of [
        'offset',
        'length',
        'originalLength',
        'flags',
        'packetType',
        'vlan',
        'seconds',
        'nanoseconds',
      ]) {
        expect(() => wire.b[read as 'offset'](slot)).toThrow(refusal)
      }
      // AF_XDP refills its fill ring at once, AF_PACKET before the next look.
      expect(wire.b.frames.free).toBe(4096 - filled(wire.b) + (xdp ? 0 : 1))
    })

    test('after it was sent, before and after the kernel took it', () => {
      using wire = openWire()
      const slot = wire.a.claim()
      wire.a.memory.set(frame(wire.b, wire.a, 60), wire.a.offset(slot))
      wire.a.send(slot, 60)
      expect(() => wire.a.send(slot, 60)).toThrow(
        stale(/the kernel's: frame \d+ was sent and not yet accepted/),
      )
      expect(() => wire.a.release(slot)).toThrow(stale(/the kernel's/))
      expect(wire.a.pending).toBe(1)
      expect(wire.a.submit()).toBe(1)
      // AF_XDP's device may still use it.
      expect(() => wire.a.release(slot)).toThrow(stale(xdp ? /is stale|the kernel's/ : /is stale/))
      wire.a.submit()
      expect(() => wire.a.release(slot)).toThrow(stale(/is stale/))
    })

    test('of an older generation, when its frame was handed out again', () => {
      using wire = openWire({ frameCount: 4, batch: 1 })
      const first = wire.a.claim()
      wire.a.release(first)
      let second = wire.a.claim()
      while ((second & 3) !== (first & 3)) second = wire.a.claim()
      expect(wire.a.offset(second)).toBe(wire.a.frames.frameSize * (second & 3))
      expect(second & 3).toBe(first & 3)
      expect(second).not.toBe(first)
      expect(() => wire.a.release(first)).toThrow(stale(/is stale/))
      wire.a.release(second)
    })

    test('that waits to receive, named by a number that fits', async () => {
      using wire = openWire()
      wire.b.close()
      using b = open(wire.veth.b, { frameCount: 2, batch: 1, receiveFrames: 2 })
      transmit(wire.a, frame(b, wire.a, 60))
      const slot = await receiveOne(b)
      b.release(slot)
      expect(b.receive()).toBe(0) // puts the frame that was freed last back into the fill ring
      expect(() => b.release(slot)).toThrow(stale(/the kernel's: frame \d waits to receive/))
    })

    test.each([
      [-1],
      [2 ** 30],
      [2 ** 31],
      [2 ** 53],
      [1.5],
      [Number.NaN],
      [Number.POSITIVE_INFINITY],
      [0],
      [4095],
    ])('that never was: %d', (slot) => {
      using wire = openWire()
      expect(() => wire.a.release(slot)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
      expect(() => wire.a.length(slot)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
    })

    test.each([[undefined], [null], ['1'], [1n], [{}], [Symbol('slot')]])('that is no number: %s', (slot) => {
      using wire = openWire()
      for (const call of ['release', 'forward', 'offset', 'length'] as const) {
        expect(() => wire.a[call](slot as never)).toThrow(
          expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
        )
      }
      expect(() => wire.a.send(slot as never, 60)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
    })
  })

  describe('claim', () => {
    test('gives −1 when no frame is free, and works again when one is', () => {
      using wire = openWire({ frameCount: 16, batch: 4, receiveFrames: 4 })
      const slots: number[] = []
      for (let slot = wire.a.claim(); slot !== -1; slot = wire.a.claim()) slots.push(slot)
      expect(slots.length).toBe(12)
      expect(new Set(slots.map((slot) => wire.a.offset(slot))).size).toBe(12)
      expect(wire.a.claim()).toBe(-1)
      wire.a.release(slots[5])
      const again = wire.a.claim()
      expect(again).not.toBe(slots[5])
      expect(wire.a.claim()).toBe(-1)
    })

    test('receive returns 0 and wait fails with the reason when the caller holds all frames', async () => {
      using wire = openWire({ frameCount: 4, batch: 2 })
      const kept: number[] = []
      for (const i of [1, 2, 3, 4]) {
        transmit(wire.a, frame(wire.b, wire.a, 60, i))
        await wire.b.wait()
        const n = wire.b.receive()
        for (let i = 0; i < n; i++) kept.push(wire.b.slot(i))
      }
      expect(wire.b.receive()).toBe(0)
      const exhausted = {
        code: 'ENOBUFS',
        syscall: syscalls.receive,
        message: expect.stringContaining('none of the 4 frames'),
      }
      await expect(wire.b.wait()).rejects.toMatchObject(exhausted)
      await expect(wire.b.spin(10)).rejects.toMatchObject(exhausted)
      wire.b.release(kept[0])
      expect(wire.b.receive()).toBe(0)
      transmit(wire.a, frame(wire.b, wire.a, 60, 5))
      expect(await collect(wire.b, 1)).toEqual([frame(wire.b, wire.a, 60, 5)])
    })
  })

  test('slot(i) of the last batch only', async () => {
    using wire = openWire()
    expect(() => wire.b.slot(0)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    transmit(wire.a, frame(wire.b, wire.a, 60), frame(wire.b, wire.a, 60))
    await wire.b.wait()
    expect(wire.b.receive()).toBe(2)
    for (const i of [-1, 2, 0.5, Number.NaN]) {
      expect(() => wire.b.slot(i)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    expect(() => wire.b.slot('0' as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
    expect(wire.b.receive()).toBe(0)
    expect(() => wire.b.slot(0)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
  })

  describe('pools', () => {
    test.each([
      ['all of it', undefined, 10],
      ['the first frames of it', 6, 6],
    ])('over an arena of the caller’s: %s', async (_, frameCount, count) => {
      using wire = openWire()
      const arena = Arena.allocate(10 * 2048 + 100)
      const frames = new FramePool({ arena, frameCount })
      expect(frames.frameCount).toBe(count)
      wire.b.close()
      using queue = open(wire.veth.b, { frames })
      expect(queue.memory).toBe(arena.bytes)
      expect(queue.batch).toBe(count / 2)
      const sent = frame(queue, wire.a, 60, 9)
      transmit(wire.a, sent)
      const slot = await receiveOne(queue)
      expect(arena.bytes.subarray(queue.offset(slot), queue.offset(slot) + 60)).toEqual(sent)
      expect(arena.bytes.subarray(count * 2048).every((byte) => byte === 0)).toBe(true)
    })

    test('free the frames of a closed queue, and keep those of the caller', async () => {
      using wire = openWire({ promiscuous: true })
      const frames = new FramePool({ frameCount: 32 })
      wire.b.close()
      const first = open(wire.veth.b, { frames })
      transmit(wire.a, frame(first, wire.a, 60, 4))
      const slot = await receiveOne(first)
      first.send(first.claim(), 60)
      first.close()
      expect(frames.free).toBe(31)
      using second = open(wire.veth.b, { frames })
      second.forward(slot)
      expect(second.submit()).toBe(1)
      expect(await collect(wire.a, 1)).toEqual([frame(second, wire.a, 60, 4)])
      second.submit()
      expect(frames.free).toBe(16)
    })

    test('many queues on one pool', () => {
      // Each queue of an interface takes one AF_XDP socket.
      const pairs = Array.from({ length: xdp ? 4 : 1 }, () => vethPair())
      const names = pairs.flatMap(({ a, b }) => (xdp ? [a, b] : Array(16).fill(a)))
      const frames = new FramePool({ frameCount: 64 })
      for (let round = 0; round < 3; round++) {
        const queues = names.map((name) => open(name, { frames, batch: 4, receiveFrames: 64 / names.length }))
        expect(frames.free).toBe(0)
        for (const queue of queues) queue.close()
        expect(frames.free).toBe(64)
      }
      for (const pair of pairs) pair.remove()
    })
  })
})

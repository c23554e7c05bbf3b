/** The calls for many frames do what the calls for each do, and say which frame stopped them. */
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import { FramePool, PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { backends, copy, frame, on } from './traffic.js'

const stale = expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' })
const wrongType = expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' })
const outOfRange = expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' })

describe.each(backends)('%s', (backend) => {
  const { openWire } = on(backend)

  /** Sends `count` frames of 60 + i bytes with claimMany() and sendMany(). */
  function sendSome(wire: ReturnType<typeof openWire>, count: number): Uint8Array[] {
    const { a, b } = wire
    const slots = new Int32Array(count)
    const offsets = new Uint32Array(count)
    const sent = Array.from({ length: count }, (_, i) => frame(b, a, 60 + i, i))
    expect(a.claimMany(slots, offsets, count)).toBe(count)
    expect(Array.from(offsets)).toEqual(Array.from(slots, (slot) => a.offset(slot)))
    for (const [i, bytes] of sent.entries()) a.memory.set(bytes, offsets[i])
    a.sendMany(
      slots,
      Uint32Array.from(sent, ({ length }) => length),
      count,
    )
    expect(a.pending).toBe(count)
    expect(a.submit()).toBe(count)
    expect(a.pending).toBe(0)
    return sent
  }

  test('claimMany, sendMany, receive in columns, releaseMany', async () => {
    using wire = openWire()
    const { b } = wire
    const free = wire.a.frames.free
    const sent = sendSome(wire, 16)
    const got: Uint8Array[] = []
    const { slots, offsets, lengths, flags } = b.columns
    while (got.length < sent.length) {
      await b.wait()
      const n = b.receive()
      for (let i = 0; i < n; i++) {
        expect(slots[i]).toBe(b.slot(i))
        expect(offsets[i]).toBe(b.offset(slots[i]))
        expect(lengths[i]).toBe(b.length(slots[i]))
        expect(flags[i]).toBe(b.flags(slots[i]))
        got.push(copy(b, slots[i]))
      }
      b.releaseMany(slots, n)
      expect(() => b.release(slots[0])).toThrow(stale)
    }
    expect(got).toEqual(sent)
    expect(wire.a.frames.free).toBe(free)
  })

  test('forwardMany sends frames back as forward() does', async () => {
    using wire = openWire()
    const { a, b } = wire
    const sent = sendSome(wire, 8)
    const own = b.interface.macBytes
    for (let returned = 0; returned < sent.length; ) {
      await b.wait()
      const n = b.receive()
      for (const at of b.columns.offsets.subarray(0, n)) {
        b.memory.set(a.interface.macBytes, at)
        b.memory.set(own, at + 6)
      }
      b.forwardMany(b.columns.slots, n)
      await b.drain()
      returned += n
    }
    const got: Uint8Array[] = []
    while (got.length < sent.length) {
      await a.wait()
      const n = a.receive()
      for (let i = 0; i < n; i++) got.push(copy(a, a.slot(i)))
      a.releaseMany(a.columns.slots, n)
    }
    expect(got).toEqual(sent.map((_, i) => frame(a, b, 60 + i, i)))
  })

  test('the first slot that is not the caller’s stops a call: the ones before it are done', async () => {
    using wire = openWire()
    const { a, b } = wire
    const slots = new Int32Array(4)
    const offsets = new Uint32Array(4)
    const free = a.frames.free
    for (const call of [
      () => a.releaseMany(slots, 4),
      () => a.sendMany(slots, Uint32Array.of(60, 60, 60, 60), 4),
    ]) {
      expect(a.claimMany(slots, offsets, 4)).toBe(4)
      for (const [i, offset] of offsets.entries()) a.memory.set(frame(b, a, 60, i), offset)
      a.release(slots[2])
      expect(call).toThrow(stale)
      for (const slot of [slots[0], slots[1]]) expect(() => a.release(slot)).toThrow(stale)
      a.release(slots[3])
    }
    expect(a.pending).toBe(2)
    expect(a.submit()).toBe(2)
    expect(a.frames.free).toBe(free)

    let n = 0
    while ((await b.wait()) < 2);
    n = b.receive()
    const received = b.columns.slots.slice(0, n)
    b.release(received[1])
    expect(() => b.forwardMany(received, n)).toThrow(stale)
    expect(b.pending).toBe(1)
    expect(() => b.release(received[0])).toThrow(stale)
  })

  test('a length that does not fit stops sendMany', () => {
    using wire = openWire()
    const { a } = wire
    const slots = new Int32Array(2)
    a.claimMany(slots, new Uint32Array(2), 2)
    for (const length of [13, 2049, 2 ** 32 - 1]) {
      expect(() => a.sendMany(slots, Uint32Array.of(length, 60), 2)).toThrow(outOfRange)
    }
    expect(a.pending).toBe(0)
    a.releaseMany(slots, 2)
  })

  test('claimMany takes what there is', () => {
    const frames = new FramePool({ frameCount: 64, frameSize: 2048 })
    using wire = openWire({ frames, batch: 8, receiveFrames: 8 })
    const { a } = wire
    const slots = new Int32Array(100)
    const free = frames.free
    expect(a.claimMany(slots, new Uint32Array(100), 100)).toBe(free)
    expect(a.claim()).toBe(-1)
    expect(new Set(slots.subarray(0, free)).size).toBe(free)
    a.releaseMany(slots, free)
    expect(frames.free).toBe(free)
  })

  test('columns and counts are checked', () => {
    using wire = openWire()
    const { a } = wire
    const slots = new Int32Array(2)
    const words = new Uint32Array(2)
    for (const count of [-1, 3, 0.5, Number.NaN, 2 ** 32]) {
      expect(() => a.releaseMany(slots, count)).toThrow(outOfRange)
      expect(() => a.forwardMany(slots, count)).toThrow(outOfRange)
      expect(() => a.claimMany(slots, words, count)).toThrow(outOfRange)
      expect(() => a.sendMany(slots, words, count)).toThrow(outOfRange)
    }
    for (const count of ['1', undefined, null, {}] as never[]) {
      expect(() => a.releaseMany(slots, count)).toThrow(wrongType)
      expect(() => a.claimMany(slots, words, count)).toThrow(wrongType)
    }
    for (const others of [[1, 2], null, undefined, 'ab', new Float64Array(2), words] as never[]) {
      expect(() => a.releaseMany(others, 1)).toThrow(wrongType)
      expect(() => a.forwardMany(others, 1)).toThrow(wrongType)
      expect(() => a.claimMany(others, words, 1)).toThrow(wrongType)
      expect(() => a.sendMany(others, words, 1)).toThrow(wrongType)
    }
    for (const others of [[1, 2], null, undefined, slots] as never[]) {
      expect(() => a.claimMany(slots, others, 1)).toThrow(wrongType)
      expect(() => a.sendMany(slots, others, 1)).toThrow(wrongType)
    }
    expect(a.pending).toBe(0)
  })

  test('what looks like a column and runs code between two frames is refused', () => {
    using wire = openWire()
    const { a } = wire
    const words = new Uint32Array(2)
    const slots = new Int32Array(2)
    const free = a.frames.free
    expect(a.claimMany(slots, words, 2)).toBe(2)
    let ran = 0
    const proxy = new Proxy(slots, {
      get(target, key) {
        ran++
        return Reflect.get(target, key)
      },
    })
    const fake = Object.create(Int32Array.prototype, { length: { value: 2 }, 0: { get: () => ran++ } })
    expect([proxy, fake].every((column) => column instanceof Int32Array)).toBe(true)
    ran = 0
    for (const column of [proxy, fake]) {
      const refused = { code: 'ERR_INVALID_ARG_TYPE', message: expect.stringMatching(/^"slots" must be/) }
      expect(() => a.releaseMany(column, 2)).toThrow(expect.objectContaining(refused))
      expect(() => a.forwardMany(column, 2)).toThrow(expect.objectContaining(refused))
      expect(() => a.sendMany(column, words, 2)).toThrow(expect.objectContaining(refused))
      expect(() => a.claimMany(column, words, 2)).toThrow(expect.objectContaining(refused))
    }
    const others = new Proxy(words, {})
    expect(() => a.sendMany(slots, others, 2)).toThrow(wrongType)
    expect(() => a.claimMany(slots, others, 2)).toThrow(wrongType)
    expect(ran).toBe(0)
    expect(a.pending).toBe(0)
    a.releaseMany(slots, 2)
    expect(a.frames.free).toBe(free)
  })

  test('columns of another realm are columns', async () => {
    using wire = openWire()
    const { a, b } = wire
    const { slots, words } = runInNewContext('({ slots: new Int32Array(2), words: new Uint32Array(2) })') as {
      slots: Int32Array
      words: Uint32Array
    }
    expect(slots).not.toBeInstanceOf(Int32Array)
    expect(a.claimMany(slots, words, 2)).toBe(2)
    for (const [i, offset] of words.entries()) a.memory.set(frame(b, a, 60, i), offset)
    words.fill(60)
    a.sendMany(slots, words, 2)
    expect(a.submit()).toBe(2)
    while ((await b.wait()) < 2);
    expect(b.receive()).toBe(2)
    slots.set(b.columns.slots.subarray(0, 2))
    b.forwardMany(slots, 1)
    b.releaseMany(slots.subarray(1), 1)
    expect(() => a.releaseMany(slots, 3)).toThrow(outOfRange)
  })

  test('a closed queue refuses each', () => {
    const wire = openWire()
    const { a } = wire
    const slots = new Int32Array(1)
    const words = new Uint32Array(1)
    wire[Symbol.dispose]()
    for (const call of [
      () => a.claimMany(slots, words, 1),
      () => a.sendMany(slots, words, 1),
      () => a.forwardMany(slots, 1),
      () => a.releaseMany(slots, 1),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED' }))
    }
  })

  test('a queue’s own calls are not enumerable, and need no `this`', () => {
    using wire = openWire()
    const { a } = wire
    const names = Object.keys(a)
    for (const name of ['receive', 'submit', 'claim', 'send', 'sendMany', 'offset']) {
      expect(names).not.toContain(name)
      expect(a).toHaveProperty(name)
    }
    expect(inspect(a)).toMatch(/^PacketQueue \{ \w+ \(.*\), \w+, batch \d+, \d+ of \d+ frames free \}$/)
    const { claim, release } = a
    release(claim())
    expect(PacketQueue.prototype).not.toHaveProperty('receive')
  })
})

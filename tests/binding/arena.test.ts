import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Arena } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import { collectGarbage, thrownBy } from '../beds/process.js'

const { alignmentGap, pageSize } = native.ring
const gap = (bytes: Uint8Array, alignment: number) => alignmentGap(bytes, alignment)

describe('Arena.allocate', () => {
  it.each([1, 2, 4095, 4096, 4097, 1 << 20, 3_000_001])(
    'gives %i bytes, zeroed, shared and page-aligned',
    (size) => {
      const { bytes, byteLength } = Arena.allocate(size)
      expect(byteLength).toBe(size)
      expect(bytes).toBeInstanceOf(Uint8Array)
      expect(bytes.length).toBe(size)
      expect(bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(gap(bytes, pageSize)).toBe(0)
      expect(bytes.every((byte) => byte === 0)).toBe(true)
      // Whole pages: the last one holds no other bytes.
      expect(bytes.buffer.byteLength - bytes.byteOffset).toBeGreaterThanOrEqual(
        Math.ceil(size / pageSize) * pageSize,
      )
      bytes.fill(0xff)
    },
  )

  it('gives memory that does not overlap', () => {
    const arenas = Array.from({ length: 100 }, (_, i) => {
      const arena = Arena.allocate(5000)
      arena.bytes.fill(i)
      return arena
    })
    for (const [i, { bytes }] of arenas.entries()) expect(bytes.every((byte) => byte === i)).toBe(true)
  })

  it('lays it on huge pages when asked, where the kernel has them', () => {
    const setting = readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'latin1')
    const arena = Arena.allocate(5 << 20, { hugePages: true })
    expect(arena.byteLength).toBe(5 << 20)
    expect(gap(arena.bytes, 2 << 20)).toBe(0)
    expect(arena.bytes.every((byte) => byte === 0)).toBe(true)
    // madvise(2) is a hint: the kernel may have no huge page free. hugePageBytes says what it did.
    expect(arena.hugePageBytes).toBeGreaterThanOrEqual(0)
    expect(arena.hugePageBytes).toBeLessThanOrEqual(5 << 20)
    expect(arena.hugePageBytes % (2 << 20) === 0 || arena.hugePageBytes === 5 << 20).toBe(true)
    if (setting.includes('[never]')) expect(arena.hugePageBytes).toBe(0)
    expect(Arena.allocate(4096).hugePageBytes).toBeLessThanOrEqual(4096)
  })

  it.each([
    [0, 'RangeError'],
    [-1, 'RangeError'],
    [1.5, 'RangeError'],
    [Number.NaN, 'RangeError'],
    [Number.POSITIVE_INFINITY, 'RangeError'],
    [2 ** 53, 'RangeError'],
    [Number.MAX_SAFE_INTEGER, 'RangeError'],
    [2 ** 50, 'RangeError'],
    ['4096', 'TypeError'],
    [4096n, 'TypeError'],
    [undefined, 'TypeError'],
    [null, 'TypeError'],
    [{}, 'TypeError'],
    [Symbol('size'), 'TypeError'],
  ])('refuses %s with a %s that names it', (size, name) => {
    const error = thrownBy(() => Arena.allocate(size as never))
    expect(error.name).toBe(name)
    expect(error.code).toBe(name === 'TypeError' ? 'ERR_INVALID_ARG_TYPE' : 'ERR_OUT_OF_RANGE')
    expect(error.message).toMatch(/^"byteLength"/)
  })

  it.each([
    [null, '"options" must be an object, not null'],
    [5, '"options" must be an object, not 5'],
    [{ hugePages: 1 }, '"options.hugePages" must be a boolean, not 1'],
    [{ hugePages: null }, '"options.hugePages" must be a boolean, not null'],
  ])('refuses options %j', (options, message) => {
    expect(thrownBy(() => Arena.allocate(1, options as never)).message).toBe(message)
  })

  it('gives back the small pages that were there before it lays memory on huge ones', () => {
    // If these were kept, they would stay small. Memory that malloc(3) used before has small pages, and its own contents.
    const buffer = new SharedArrayBuffer(6 << 20)
    const gap = native.ring.alignmentGap(new Uint8Array(buffer), 2 << 20)
    const bytes = new Uint8Array(buffer, gap, 4 << 20).fill(7)
    native.ring.useHugePages(bytes)
    expect(bytes.every((byte) => byte === 0)).toBe(true)
    expect(native.ring.hugePageBytes(bytes) % (2 << 20)).toBe(0)
  })

  it('gives memory back when nothing sees it any more', async () => {
    await collectGarbage()
    const before = process.memoryUsage().rss
    // If these were kept, this would be 1 GiB. (AddressSanitizer keeps 256 MiB of freed memory.)
    for (let i = 0; i < 32; i++) {
      Arena.allocate(32 << 20).bytes.fill(i + 1)
      if (i % 4 === 3) await collectGarbage()
    }
    // The collector and malloc(3) release memory in their own time; kept memory never goes.
    while (process.memoryUsage().rss - before > 400 << 20) await collectGarbage()
  })
})

describe('Arena.over', () => {
  it('sees the caller’s own memory, in whole or in part', () => {
    const buffer = new SharedArrayBuffer(100)
    const whole = Arena.over(buffer)
    const part = Arena.over(new Uint8Array(buffer, 7, 9))
    expect([whole.byteLength, part.byteLength]).toEqual([100, 9])
    part.bytes[0] = 42
    expect(whole.bytes[7]).toBe(42)
    expect(part.bytes.buffer).toBe(buffer)
    expect(part.bytes.byteOffset).toBe(7)
  })

  it.each([
    ['an ArrayBuffer', new ArrayBuffer(8)],
    ['a view of one', new Uint8Array(8)],
    ['a Buffer', Buffer.alloc(8)],
    ['another typed array', new Uint32Array(new SharedArrayBuffer(8))],
    ['a DataView', new DataView(new SharedArrayBuffer(8))],
    ['a number', 5],
    ['null', null],
    ['nothing', undefined],
    ['an Arena', Arena.allocate(1)],
    ['a plain object', { buffer: new SharedArrayBuffer(1) }],
  ])('refuses %s', (_, memory) => {
    expect(thrownBy(() => Arena.over(memory as never))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: expect.stringMatching(/^"memory(\.buffer)?" must be a /),
    })
  })

  it('is how a worker gets an arena', async () => {
    const arena = Arena.allocate(4096)
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
       import('ibverbs').then(({ Arena }) => {
         const arena = Arena.over(workerData)
         arena.bytes[4095] = arena.bytes[0] + 1
         parentPort.postMessage(arena.byteLength)
       })`,
      { eval: true, workerData: arena.bytes },
    )
    arena.bytes[0] = 6
    expect((await once(worker, 'message'))[0]).toBe(4096)
    expect(arena.bytes[4095]).toBe(7)
    await worker.terminate()
  })

  it('of a buffer that grows sees what it was told of', () => {
    const Growable = SharedArrayBuffer as unknown as new (
      size: number,
      options: object,
    ) => SharedArrayBuffer & { grow(size: number): void }
    const buffer = new Growable(100, { maxByteLength: 200 })
    const whole = Arena.over(buffer)
    const part = Arena.over(new Uint8Array(buffer, 0, 50))
    buffer.grow(200)
    expect([whole.byteLength, part.byteLength]).toEqual([100, 50])
  })
})

/** Calls the addon's functions with garbage: lib/ checks arguments first, but no argument may crash the addon. */
import { describe, expect, it } from 'vitest'
import { Kind, load } from '../../dist/native.js'
import { thrownBy } from '../beds/process.js'
import { Random } from '../beds/random.js'

/** A getter that throws, a cycle, and everything that could be mistaken for a number. */
const cyclic: Record<string, unknown> = {}
cyclic.self = cyclic
const garbage: unknown[] = [
  undefined,
  null,
  true,
  0,
  -0,
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 20,
  (1 << 20) | 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e300,
  1n,
  2n ** 64n,
  '',
  'rxe0',
  '\u0000',
  'x'.repeat(100_000),
  Symbol('garbage'),
  {},
  [],
  cyclic,
  new Proxy({}, {}),
  new Proxy(
    {},
    {
      get() {
        throw new Error('a getter that throws')
      },
    },
  ),
  Object.create(null),
  { valueOf: () => 1 },
  new Date(0),
  new ArrayBuffer(8),
  new SharedArrayBuffer(8),
  new Uint8Array(8),
  new Uint8Array(new SharedArrayBuffer(64)),
  new Uint8Array(new SharedArrayBuffer(0)),
  new Uint8Array(new SharedArrayBuffer(64), 3, 9),
  new Uint32Array(new SharedArrayBuffer(64)),
  new Float64Array(new SharedArrayBuffer(64)),
  new BigUint64Array(new SharedArrayBuffer(64)),
  new DataView(new SharedArrayBuffer(8)),
  new Map(),
]

const native = load()

type AnyFunction = (...args: unknown[]) => unknown

/** These store their argument: a function would replace lib/'s own. */
const keeps = new Set(['setDispatch', 'setErrorConstructor'])

const all = [
  ['native', native],
  ['native.ring', native.ring],
  ['native.verbs', native.verbs],
  ['native.ethernet', native.ethernet],
].flatMap(([where, functions]) =>
  Object.entries(functions as object)
    .filter(([name, value]) => typeof value === 'function' && !keeps.has(name))
    .map(([name, value]) => [`${where}.${name}`, value as AnyFunction] as const),
)

describe('every function of the addon', () => {
  it('is there', () => {
    expect(all.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        'native.close',
        'native.verbs.pollFor',
        'native.verbs.createQueuePair',
        'native.ring.useHugePages',
      ]),
    )
    expect(all.length).toBeGreaterThan(30)
  })

  it.each(all)('%s answers garbage with an error, or with an answer', (name, call) => {
    const random = new Random(0x5eed)
    const handles = native.handleCount()
    for (let i = 0; i < 1500; i++) {
      // Each value once in each of the first positions, then random ones.
      const count = i < garbage.length * 3 ? 1 + (i % 3) : random.below(7)
      const args = Array.from({ length: count }, () => random.pick(garbage))
      if (i < garbage.length * 3) args[i % 3] = garbage[Math.floor(i / 3)]
      try {
        call(...args)
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
        expect((error as Error).message.length, `${name} has no words`).toBeGreaterThan(0)
      }
    }
    expect(native.handleCount()).toBe(handles)
  })
})

describe('handles', () => {
  const garbageIds = [0, 1, 5, (1 << 20) | 0, (1 << 20) | 5, 0x3fffffff, 0x7fffffff, 0xffffffff]
  const uses: [string, (id: number) => unknown, string][] = [
    ['queryDevice', (id) => native.verbs.queryDevice(id), 'context'],
    ['allocateProtectionDomain', (id) => native.verbs.allocateProtectionDomain(id), 'context'],
    ['pollBell', (id) => native.verbs.pollBell(id, new Int32Array(2)), 'completion queue'],
    ['pollFor', (id) => native.verbs.pollFor(id, 0), 'completion queue'],
    ['arm', (id) => native.verbs.arm(id, 0), 'completion queue'],
    ['submitBell', (id) => native.verbs.submitBell(id, new Uint32Array(16)), 'queue pair'],
    ['queryQueuePair', (id) => native.verbs.queryQueuePair(id), 'queue pair'],
    ['modifyQueuePair', (id) => native.verbs.modifyQueuePair(id, {}), 'queue pair'],
  ]
  it.each(uses)('that were never given out are closed, says %s', (_, use, what) => {
    for (const id of garbageIds) {
      expect(thrownBy(() => use(id))).toMatchObject({
        name: 'Error',
        code: 'ERR_IBVERBS_CLOSED',
        message: `the ${what} is closed`,
      })
    }
  })

  it('that were never given out can be closed, whatever kind is said', () => {
    for (const kind of [...Object.values(Kind), 7, 255, 256, 0xffffffff]) {
      for (const id of garbageIds) {
        expect(native.close(id, kind as Kind)).toBe(false)
        expect(native.isOpen(id, kind as Kind)).toBe(false)
      }
    }
  })
})

describe('memory', () => {
  const { ring } = native

  it('must be a typed array over a SharedArrayBuffer', () => {
    const wrong = [
      new Uint8Array(8),
      Buffer.alloc(8),
      new ArrayBuffer(8),
      new SharedArrayBuffer(8),
      {},
      5,
      null,
    ]
    for (const value of [...wrong, new DataView(new SharedArrayBuffer(8))]) {
      expect(thrownBy(() => ring.alignmentGap(value as never, 8))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: '"bytes" must be a typed array over a SharedArrayBuffer',
      })
    }
  })

  it('alignments must be powers of two', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(8))
    for (const alignment of [0, 3, 12, 2 ** 32 - 1]) {
      expect(thrownBy(() => ring.alignmentGap(bytes, alignment)).message).toBe(
        '"alignment" must be a power of two',
      )
    }
    for (const alignment of [-1, 0.5, Number.NaN, 2 ** 32]) {
      expect(thrownBy(() => ring.alignmentGap(bytes, alignment))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
    }
  })

  it('has the gap to the next multiple', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(3 * ring.pageSize))
    const first = ring.alignmentGap(bytes, ring.pageSize)
    expect(first).toBeLessThan(ring.pageSize)
    const aligned = bytes.subarray(first)
    expect(ring.alignmentGap(aligned, ring.pageSize)).toBe(0)
    expect(ring.alignmentGap(aligned.subarray(1), ring.pageSize)).toBe(ring.pageSize - 1)
    expect(ring.alignmentGap(aligned.subarray(5), 8)).toBe(3)
    expect(ring.alignmentGap(aligned.subarray(5), 1)).toBe(0)
  })

  it('for huge pages must begin on a page', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(3 * ring.pageSize))
    const off = ring.alignmentGap(bytes, ring.pageSize) + 1
    expect(thrownBy(() => ring.useHugePages(bytes.subarray(off))).message).toBe(
      '"bytes" must be page-aligned',
    )
  })

  it('of a typed array newer than the binding counts by the byte', () => {
    const { Float16Array } = globalThis as {
      Float16Array?: new (buffer: SharedArrayBuffer) => ArrayBufferView
    }
    if (!Float16Array) return // Node before 24
    expect(ring.hugePageBytes(new Float16Array(new SharedArrayBuffer(64)) as never)).toBeLessThanOrEqual(64)
  })
})

/** The rings of striding receives, against a device that this file plays. */
import { layout } from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import type { DirectCompletionQueue, DirectWorkQueue } from '../../dist/mlx5/direct.js'
import { stridingQueue } from '../../dist/mlx5/driver/striding-queue.js'
import { Random } from '../beds/random.js'

const { frameCqe, miniChecksumStride, CqeOpcode, CqeFormat, CqeCheck } = layout
const { fields } = frameCqe
const entryBytes = 64
const strideBytes = 2048
const strides = 8

function ring(count: number, stride: number) {
  const buffer = new SharedArrayBuffer(count * stride)
  return {
    ...{ bytes: new Uint8Array(buffer), view: new DataView(buffer), stride, count },
    record: new Int32Array(new SharedArrayBuffer(4)),
  }
}

/** What an entry tells: bytes, and how many strides; a filler has no bytes. */
interface Told {
  bytes: number
  used: number
  filler?: boolean
}
const wordOf = ({ bytes, used, filler = false }: Told) =>
  ((filler ? 2 ** 31 : 0) + used * 2 ** 16 + bytes) >>> 0

/** What a device writes. */
class Device {
  readonly entries
  readonly #count: number
  #next = 0
  /** Strides that were used. */
  used = 0

  constructor(count: number) {
    this.entries = ring(count, entryBytes)
    this.#count = count
    for (let i = 0; i < count; i++) {
      this.entries.view.setUint8(i * entryBytes + fields.opcode.offset, CqeOpcode.INVALID << 4)
    }
  }

  one(told: Told): void {
    this.#entry(wordOf(told), CqeFormat.NO_INLINE_DATA, this.used)
    this.#next++
    this.used += told.used
  }

  /** A session: the title is written last, as it is what a driver waits for. */
  session(all: readonly Told[], tellsStride: boolean): void {
    const { view } = this.entries
    const first = this.used
    for (const [i, told] of all.entries()) {
      const holder = this.#next + (i < 8 ? 1 : i - (i % 8))
      const at = (holder % this.#count) * entryBytes + (i % 8) * miniChecksumStride.length
      view.setUint16(at, 0xdead)
      view.setUint16(
        at + miniChecksumStride.fields.strideIndex.offset,
        tellsStride ? this.used % strides : 0xbeef,
      )
      view.setUint32(at + miniChecksumStride.fields.byteCount.offset, wordOf(told))
      this.used += told.used
    }
    this.#entry(all.length, CqeFormat.COMPRESSED, first)
    this.#next += all.length
  }

  #entry(byteCount: number, format: number, stride: number): void {
    const { view } = this.entries
    const at = (this.#next % this.#count) * entryBytes
    view.setUint32(at + fields.byteCount.offset, byteCount)
    view.setUint8(at + fields.checks.offset, CqeCheck.L3_OK | CqeCheck.L4_OK)
    const owner = Math.floor(this.#next / this.#count) & 1
    view.setUint16(at + fields.wqeCounter.offset, stride % strides)
    view.setUint8(at + fields.opcode.offset, (CqeOpcode.RESP_SEND << 4) | (format << 2) | owner)
  }

  /** An entry that says this, whatever the device has used. */
  forged(stride: number, word: number): void {
    this.#entry(word, CqeFormat.NO_INLINE_DATA, stride)
    this.#next++
  }
}

function openRings(buffers: number, batch: number, miniStride = true) {
  const device = new Device(buffers * strides)
  const failures: Uint8Array[] = []
  const { requests, completions, entryOf } = stridingQueue({
    queue: { ...ring(buffers, 32), number: 1, publishReceives() {} } as DirectWorkQueue,
    completions: device.entries as unknown as DirectCompletionQueue,
    ...{ strideBytes, strides, miniStride, key: 1, base: 0, batch, checksumValid: 4 },
    failed: (entry) => failures.push(entry),
  })
  for (let i = 0; i < buffers; i++) requests.pushAddress(i * strides * strideBytes)
  return { device, requests, completions, entryOf, failures }
}

describe.each([true, false])('the rings, mini completions that tell their stride: %s', (miniStride) => {
  test('any mix of sessions, plain entries and fillers, a thousand laps: each stride as the device used it', () => {
    const random = new Random(miniStride ? 8 : 9)
    const buffers = 8
    const places = buffers * strides
    const { device, requests, completions, failures } = openRings(buffers, 32, miniStride)
    /** By stride: the bytes of the frame that begins there. */
    const expected: number[] = []
    let read = 0
    const next = (room: number): Told | undefined => {
      const left = strides - (device.used % strides)
      const bytes = random.pick([
        random.integer(1, 2048),
        random.integer(1, 2048),
        random.integer(2049, 9000),
      ])
      const used = Math.ceil(bytes / strideBytes)
      if (used > left) return left <= room ? { bytes: 0, used: left, filler: true } : undefined
      return used <= room ? { bytes, used } : undefined
    }
    const note = ({ bytes, used }: Told) => {
      expected.push(bytes)
      for (let i = 1; i < used; i++) expected.push(0)
    }
    while (read < places * 1000) {
      while (random.chance(3 / 4)) {
        const told: Told[] = []
        const before = device.used
        const wanted = random.integer(1, 64)
        for (let used = before; told.length < wanted; ) {
          device.used = used
          const one = next(places - (used - read))
          if (!one) break
          told.push(one)
          used += one.used
        }
        device.used = before
        if (told.length === 0) break
        for (const each of told) note(each)
        if (told.length > 1 && random.chance(2 / 3)) device.session(told, miniStride)
        else for (const each of told) device.one(each)
      }
      const ready = completions.available()
      expect(ready).toBeGreaterThanOrEqual(Math.min(32, device.used - read))
      expect(ready).toBeLessThanOrEqual(device.used - read)
      const some = random.integer(0, ready)
      for (let i = 0; i < some; i++) {
        const at = completions.at(i)
        const length = completions.length(at)
        if (
          length !== expected[read + i] ||
          completions.address(at) !== ((read + i) % places) * strideBytes
        ) {
          expect({ stride: read + i, length, address: completions.address(at) }).toBe('otherwise')
        }
        if (length > 0) expect(completions.flags(at)).toBe(4)
      }
      completions.consume(some)
      for (let i = 0; i < some; i++) {
        if ((read + i + 1) % strides === 0)
          requests.pushAddress(((read + i + 1 - strides) % places) * strideBytes)
      }
      read += some
    }
    expect(failures).toEqual([])
  })
})

describe('what cannot be true of the posted buffers is a failure, and no stride is taken for it', () => {
  test.each([
    ['no stride', 0, 60],
    ['more strides than are left of the buffer', 0, (9 << 16) | 60],
    ['another stride than the next', 3, (1 << 16) | 60],
    ['a filler of no stride', 0, 2 ** 31],
  ])('%s', (_, stride, word) => {
    const { device, completions, failures } = openRings(4, 16)
    device.forged(stride, word)
    expect(completions.available()).toBe(0)
    expect(failures.length).toBe(1)
  })

  test('a session one of whose completions cannot be: none of it is taken', () => {
    const { device, completions, failures } = openRings(4, 16)
    device.session(
      [
        { bytes: 60, used: 1 },
        { bytes: 60, used: 8 },
      ],
      true,
    )
    expect(completions.available()).toBe(0)
    expect(failures.length).toBe(1)
  })

  test('a session of no completions, or of more than the ring has', () => {
    for (const count of [0, 33]) {
      const { device, completions, failures } = openRings(4, 16)
      device.session(
        Array.from({ length: count }, () => ({ bytes: 60, used: 1 })),
        true,
      )
      expect(completions.available()).toBe(0)
      expect(failures.length).toBe(1)
    }
  })
})

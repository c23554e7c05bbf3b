/** Striding receives: the driver's rings against a device that this file plays, and PacketQueue over the software ConnectX. */
import { FrameFlag, PacketQueue, type PacketQueueOptions } from 'ibverbs/ethernet'
import { layout } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import type { DirectCompletionQueue, DirectWorkQueue } from '../../dist/mlx5/direct.js'
import { stridingQueue } from '../../dist/mlx5/driver/striding-queue.js'
import { Random } from '../beds/random.js'
import { forge, goOn } from '../ethernet/forged-rings.js'

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

function openPair(options: PacketQueueOptions) {
  const soft = softConnectX({ wire: 'pair', macs: ['02:00:0a:00:00:01', '02:00:0a:00:00:02'], strict: true })
  const a = PacketQueue.open('mlx5_soft0', { backend: 'mlx5', striding: true, promiscuous: true, ...options })
  const b = PacketQueue.open('mlx5_soft1', { backend: 'raw_packet_qp', frameCount: 256, transmitOnly: true })
  const close = (): void => {
    a.close()
    b.close()
    soft.close()
  }
  return { soft, a, b, [Symbol.dispose]: close }
}

/** Sends frames whose bytes follow from their numbers and reads them, `received` by `received`, until `total` came. */
async function stream(
  { a, b }: ReturnType<typeof openPair>,
  total: number,
  lengthOf: (number: number) => number,
  received: (slot: number, number: number) => void,
): Promise<void> {
  const view = (queue: PacketQueue) =>
    new DataView(queue.memory.buffer, queue.memory.byteOffset, queue.memory.length)
  const [sending, receiving] = [view(b), view(a)]
  const window = a.batch
  let [sent, got] = [0, 0]
  while (got < total) {
    for (; sent < total && sent - got < window; sent++) {
      const slot = b.claim()
      if (slot < 0) break
      const at = b.offset(slot)
      b.memory.set([...a.interface.macBytes, ...b.interface.macBytes, 0x88, 0xb5], at)
      sending.setUint32(at + 14, sent)
      b.memory.fill(sent & 0xff, at + 18, at + lengthOf(sent))
      b.send(slot, lengthOf(sent))
    }
    b.submit()
    expect(b.error).toBeNull()
    await a.wait({ signal: AbortSignal.timeout(30_000) })
    const n = a.receive()
    for (let i = 0; i < n; i++, got++) {
      const slot = a.slot(i)
      const at = a.offset(slot)
      if (receiving.getUint32(at + 14) !== got || a.originalLength(slot) !== lengthOf(got)) {
        expect([receiving.getUint32(at + 14), a.originalLength(slot)]).toEqual([got, lengthOf(got)])
      }
      if (a.length(slot) > 18) expect(a.memory[at + a.length(slot) - 1]).toBe(got & 0xff)
      received(slot, got)
    }
  }
}

describe('PacketQueue', () => {
  test.each([
    [
      { frameCount: 64, batch: 16, striding: 8 },
      { strideBytes: 2048, strides: 8, buffers: 8 },
    ],
    [
      { frameCount: 1024, batch: 64 },
      { strideBytes: 2048, strides: 64, buffers: 16 },
    ],
    [
      { frameCount: 256, batch: 32, stripVlan: true },
      { strideBytes: 2048, strides: 32, buffers: 8 },
    ],
  ] as const)('%j: frames of random lengths, many laps', async (options, report) => {
    using wire = openPair(options)
    const { a } = wire
    expect(a.report.striding).toEqual({ ...report, copied: 0 })
    await stream(
      wire,
      5000,
      (n) => 18 + ((n * 7919) % 1497),
      (slot) => a.release(slot),
    )
    expect(a.statistics()).toMatchObject({ received: 5000, truncated: 0, dropped: 0, invalid: 0 })
    expect(wire.soft.violations()).toEqual([])
  })

  test('frames of several strides are cut to the first, and counted', async () => {
    using wire = openPair({ frameSize: 512, frameCount: 512, batch: 16 })
    const { a } = wire
    let cut = 0
    await stream(
      wire,
      3000,
      (n) => 18 + ((n * 7919) % 1497),
      (slot) => {
        if ((a.flags(slot) & FrameFlag.truncated) !== 0) cut++
        expect(a.length(slot)).toBe(Math.min(512, a.originalLength(slot)))
        a.release(slot)
      },
    )
    expect(cut).toBeGreaterThan(1500)
    expect(a.statistics()).toMatchObject({ received: 3000, truncated: cut, invalid: 0 })
  })

  test('kept frames: once they hold a quarter of the buffers back, what comes is copied; they stay as they are', async () => {
    using wire = openPair({ frameCount: 64, batch: 8, striding: 8 })
    const { a } = wire
    const free = a.frames.free
    const kept = new Map<number, number>()
    await stream(
      wire,
      2000,
      (n) => 60 + (n % 1000),
      (slot, number) => {
        // One of each buffer, and more than there are buffers.
        if (number % 9 === 0 && kept.size < 20) kept.set(slot, number)
        else a.release(slot)
      },
    )
    expect(kept.size).toBe(20)
    expect(a.report.striding?.copied).toBeGreaterThan(1000)
    for (const [slot, number] of kept) {
      const at = a.offset(slot)
      expect([a.length(slot), a.memory[at + a.length(slot) - 1]]).toEqual([
        60 + (number % 1000),
        number & 0xff,
      ])
      a.release(slot)
    }
    const { copied } = a.report.striding ?? { copied: 0 }
    await stream(
      wire,
      2000,
      () => 60,
      (slot) => a.release(slot),
    )
    // They are gone: a few more at most, until the next look at the pool.
    expect((a.report.striding?.copied ?? 0) - copied).toBeLessThan(100)
    expect(a.statistics()).toMatchObject({ received: 4000, invalid: 0 })
    a.close()
    expect(a.frames.free).toBeGreaterThanOrEqual(free)
  })

  test('a stripped tag and the time, of the frame that the entry tells of, wherever its stride lies', async () => {
    using wire = openPair({
      ...{
        frameSize: 1024,
        frameCount: 128,
        batch: 16,
        striding: 16,
        stripVlan: true,
        timestamps: 'hardware',
      },
    })
    const { a, b } = wire
    let got = 0
    let last = 0
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 10; i++) {
        const number = round * 10 + i
        const slot = b.claim()
        const tag = number % 3 === 0 ? [] : [0x81, 0, number >> 8, number & 0xff]
        b.memory.set([...a.interface.macBytes, ...b.interface.macBytes, ...tag, 0x88, 0xb5], b.offset(slot))
        b.send(slot, number % 7 === 0 ? 1400 : 64)
      }
      while (b.pending > 0) b.submit()
      for (const until = got + 10; got < until; ) {
        await a.wait({ signal: AbortSignal.timeout(30_000) })
        const n = a.receive()
        for (let i = 0; i < n; i++, got++) {
          const slot = a.slot(i)
          const tagged = got % 3 !== 0
          expect([a.vlan(slot), a.originalLength(slot)]).toEqual([
            tagged ? (0x81000000 | got) >>> 0 : 0,
            (got % 7 === 0 ? 1400 : 64) - (tagged ? 4 : 0),
          ])
          const time = a.seconds(slot) * 1e9 + a.nanoseconds(slot)
          expect(time).toBeGreaterThanOrEqual(last)
          last = time
          a.release(slot)
        }
      }
    }
    expect(a.statistics()).toMatchObject({ received: 400, invalid: 0 })
  })

  test('close with frames held: the pool has all others back, and these when they are released', async () => {
    using wire = openPair({ frameCount: 64, batch: 16, striding: 8 })
    const { a } = wire
    const kept: number[] = []
    await stream(
      wire,
      10,
      () => 60,
      (slot) => kept.push(slot),
    )
    const { frames } = a
    a.close()
    expect(frames.free).toBe(54)
    for (const slot of kept) frames.release(slot)
    expect(frames.free).toBe(64)
  })

  test('wait: two hundred sleeps, none is lost', async () => {
    using wire = openPair({ frameCount: 64, batch: 1, striding: 8 })
    await stream(
      wire,
      200,
      () => 60,
      (slot) => wire.a.release(slot),
    )
  })

  test('rings that their user overwrites cost the queue at most, and another queue goes on', async () => {
    const random = new Random(13)
    using soft = softConnectX({ wire: 'loop' })
    using bystander = PacketQueue.open('mlx5_soft0', {
      ...{ backend: 'mlx5', flows: [{ etherType: 0x88b6 }], striding: true },
    })
    const errors = new Set<string>()
    for (let round = 0; round < 20; round++) {
      using queue = PacketQueue.open('mlx5_soft0', {
        backend: 'mlx5',
        frameCount: 64,
        batch: 16,
        striding: 8,
      })
      const held = queue.claim()
      for (let step = 0; step < 50; step++) {
        goOn(queue, random, errors)
        forge(queue, random, 6)
      }
      expect(queue.length(held)).toBe(0)
    }
    for (const code of errors) expect(code).toMatch(/^E[A-Z]+$|^ERR_IBVERBS_/)
    const own = bystander.interface.macBytes
    const slot = bystander.claim()
    bystander.memory.set([...own, ...own, 0x88, 0xb6], bystander.offset(slot))
    bystander.send(slot, 60)
    expect(bystander.submit()).toBe(1)
    expect(await bystander.wait({ signal: AbortSignal.timeout(30_000) })).toBe(1)
    expect(soft.closed).toBe(false)
  })

  test.each([
    [{ striding: 12 }, '"options.striding" must be a power of two, not 12'],
    [{ striding: 4 }, '"options.striding" must be 8 to 65536 frames of 2048 bytes, not 4'],
    [{ striding: 'yes' }, 'options.striding'],
    [{ headroom: 64 }, '"options.headroom" must be 0 with "options.striding", not 64'],
    [{ frameSize: 16384 }, '"options.frameSize" must be 64 to 8192 with "options.striding", not 16384'],
    [
      { frameCount: 16 },
      '"options.receiveFrames" must be at least 16, two buffers of 8, with "options.striding", not 8',
    ],
    [{ transmitOnly: true }, '"options.striding" must be left out where "options.transmitOnly" is true'],
    [{ backend: 'raw_packet_qp' }, '"options.striding" must be left out, or with backend: \'mlx5\''],
  ])('%j: refused in words', (options, message) => {
    using _ = softConnectX({ wire: 'loop' })
    expect(() =>
      PacketQueue.open('mlx5_soft0', { backend: 'mlx5', striding: true, ...options } as PacketQueueOptions),
    ).toThrow(message)
  })
})

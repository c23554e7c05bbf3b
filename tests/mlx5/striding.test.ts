/** PacketQueue with striding receives, over the software ConnectX. */
import { FrameFlag, PacketQueue, type PacketQueueOptions } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import { overwritten } from './overwritten.js'

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

  test('rings that their user overwrites cost the queue at most, and another queue goes on', () =>
    overwritten({ seed: 13, rounds: 20, striding: 8 }))

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

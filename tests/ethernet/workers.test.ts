/** One pool of frames in several threads. */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Arena, FramePool, type PacketQueue, queryInterface, type SharedFrames } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { vethPair } from '../beds/veth.js'
import { Running } from '../cli/run.js'
import { programPath } from './program.js'
import { collect, etherType, frame, on, transmit } from './traffic.js'

const { open } = on('af_xdp')
const example = fileURLToPath(new URL('../../docs/examples/workers.mjs', import.meta.url))

const stale = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT', message: expect.stringMatching(message) })

describe('a pool that threads share', () => {
  /** Two members in one thread behave as in two. */
  function members(frameCount = 256): [FramePool, FramePool, PacketQueue, PacketQueue, () => void] {
    const veth = vethPair()
    const a = new FramePool({ frameCount })
    const b = FramePool.join(structuredClone(a.share()))
    const options = { transmitOnly: true, promiscuous: true } as const
    const [first, second] = [open(veth.a, { frames: a, ...options }), open(veth.b, { frames: b, ...options })]
    const remove = (): void => {
      first.close()
      second.close()
      veth.remove()
    }
    return [a, b, first, second, remove]
  }

  test('a slot is one thread’s until it is given and taken', () => {
    const [a, b, first, second, remove] = members()
    expect(a.member).not.toBe(b.member)
    expect(second.report.sharedMemory).toBe(true)
    const slot = first.claim()
    const foreign = stale(/slot \d+ is another thread's, which has not given it away/)
    for (const call of ['length', 'release', 'forward'] as const) {
      expect(() => second[call](slot)).toThrow(foreign)
    }
    expect(() => b.give(slot)).toThrow(foreign)
    expect(() => b.take(slot)).toThrow(foreign)
    expect(() => a.take(slot)).toThrow(stale(/this thread's already: nobody gave it/))
    first.memory[first.offset(slot)] = 7

    a.give(slot)
    const given = stale(/was given away: frames\.take\(\) makes it this thread's/)
    expect(() => first.offset(slot)).toThrow(given)
    expect(() => first.release(slot)).toThrow(given)
    expect(() => second.release(slot)).toThrow(given)
    expect(() => a.give(slot)).toThrow(given)

    b.take(slot)
    expect(() => b.take(slot)).toThrow(stale(/this thread's already/))
    expect(() => a.take(slot)).toThrow(foreign)
    expect(b.arena.bytes[b.offset(slot)]).toBe(7)
    second.send(slot, 60)
    expect(second.submit()).toBe(1)
    second.submit()
    for (const pool of [a, b]) {
      expect(() => pool.take(slot)).toThrow(stale(/is stale/))
      expect(() => pool.release(slot)).toThrow(stale(/is stale/))
    }
    remove()
  })

  test('frames go where they are claimed, and none is lost on the way', () => {
    const [a, b, first, second, remove] = members(512)
    for (let round = 0; round < 20; round++) {
      const slots: number[] = []
      for (let slot = first.claim(); slot >= 0; slot = first.claim()) slots.push(slot)
      // The other member keeps at most that many to itself.
      expect(slots.length).toBeGreaterThanOrEqual(512 - 64)
      expect(new Set(slots.map((slot) => first.offset(slot))).size).toBe(slots.length)
      for (const slot of slots) {
        a.give(slot)
        b.take(slot)
        b.release(slot)
      }
      const back: number[] = []
      for (let slot = second.claim(); slot >= 0; slot = second.claim()) back.push(slot)
      expect(back.length).toBeGreaterThanOrEqual(512 - 64)
      for (const slot of back) b.release(slot)
    }
    a.reclaim(b.member)
    expect(a.free).toBe(512)
    remove()
  })

  test('refuses anything but a shared pool', () => {
    const { arena, frameSize, headroom, slots, records } = new FramePool({ frameCount: 64 }).share()
    const broken: [Partial<Record<keyof SharedFrames, unknown>>, string][] = [
      [{ slots: new SharedArrayBuffer(64) }, 'ERR_OUT_OF_RANGE'],
      [{ slots: new ArrayBuffer(64) }, 'ERR_INVALID_ARG_TYPE'],
      [{ slots: undefined }, 'ERR_INVALID_ARG_TYPE'],
      [{ records: new SharedArrayBuffer(64) }, 'ERR_OUT_OF_RANGE'],
      [{ arena: new Uint8Array(64 * 2048) }, 'ERR_INVALID_ARG_TYPE'],
      [{ arena: Arena.allocate(4096).bytes }, 'ERR_OUT_OF_RANGE'],
      [{ frameSize: 4096 }, 'ERR_OUT_OF_RANGE'],
      [{ headroom: -1 }, 'ERR_OUT_OF_RANGE'],
    ]
    for (const [part, code] of broken) {
      expect(() =>
        FramePool.join({ arena, frameSize, headroom, slots, records, ...part } as SharedFrames),
      ).toThrow(expect.objectContaining({ code }))
    }
    const pool = new FramePool({ frameCount: 64 })
    for (const member of [pool.member, 0, 1, 3, 4, -2, 4096, 1.5, Number.NaN]) {
      expect(() => pool.reclaim(member)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    for (const value of ['1', 1n, null, undefined, {}]) {
      expect(() => pool.take(value as never)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
      expect(() => pool.give(value as never)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      )
    }
    for (const slot of [-1, 1.5, 2 ** 30, 2 ** 32, Number.NaN, 0, 63, 64]) {
      expect(() => pool.take(slot)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
    }
  })

  test('concurrent threads never own the same frame', async () => {
    // Little more than each thread holds at most, in use and on its stack: they take frames from one another.
    const frameCount = 3 * (40 + 64) + 32
    const frames = new FramePool({ frameCount, frameSize: 128 })
    const shared = frames.share()
    const members = 3
    const mailbox = new Int32Array(new SharedArrayBuffer(4 * (members + 1)))
    const taken = new Int32Array(new SharedArrayBuffer(4 * (members + 1)))
    const results = await Promise.all(
      Array.from({ length: members }, async (_, i) => {
        const workerData = { shared, mailbox, taken, rounds: 60_000, me: i + 1, members }
        const worker = new Worker(programPath('pool-worker.mjs'), { workerData })
        const [result] = await once(worker, 'message')
        await worker.terminate()
        return result as { member: number; wrong: number; claimed: number }
      }),
    )
    for (const { wrong, claimed } of results) {
      expect(wrong).toBe(0)
      expect(claimed).toBeGreaterThan(0)
    }
    for (const slot of mailbox) {
      if (slot === 0) continue
      frames.take(slot - 1)
      frames.release(slot - 1)
    }
    for (const { member } of results) frames.reclaim(member)
    expect(frames.free).toBe(frameCount)
  })

  test('takes back the frames of a terminated thread', async () => {
    using veth = vethPair()
    const frames = new FramePool({ frameCount: 512 })
    const worker = new Worker(programPath('keeper.mjs'), {
      workerData: { name: veth.a, shared: frames.share() },
    })
    const [{ member, kept }] = await once(worker, 'message')
    expect(() => frames.release(kept[0])).toThrow(stale(/is another thread's/))
    await worker.terminate()
    frames.reclaim(member)
    // A frame given away is on its way and no longer its own.
    expect(frames.free).toBe(511)
    expect(() => frames.take(kept[0])).toThrow(stale(/is stale/))
    frames.take(kept[1])
    frames.release(kept[1])
    expect(frames.free).toBe(512)
    using queue = open(veth.a, { frames })
    expect(queue.report.mode).toBe('native')
    expect(frames.free).toBe(256)
  })
})

test('docs/examples/workers.mjs: a queue for each worker, on one arena', async () => {
  using veth = vethPair({ queues: 2 })
  const running = new Running(process.execPath, [example, veth.a])
  await running.until(/2 workers/)
  const from = [0, 1].map((queueId) => open(veth.b, { queueId, etherType }))
  const to = queryInterface(veth.a).macBytes
  for (const [i, queue] of from.entries()) {
    const sent = Array.from({ length: 100 }, (_, k) => frame(to, queue, 60 + k, i))
    for (const bytes of sent) bytes[14] = 0x2e
    transmit(queue, ...sent)
    const expected = sent.map((bytes) => {
      const back = Uint8Array.from(bytes)
      back.set(queue.interface.macBytes, 0)
      back.set(to, 6)
      return back
    })
    expect(await collect(queue, 100)).toEqual(expected)
    const word = frame(to, queue, 60)
    word.set(new TextEncoder().encode(`! from ${i}`), 14)
    transmit(queue, word.subarray(0, 22))
    await running.until(new RegExp(`queue ${i}: ! from ${i}`))
  }
  running.child.kill('SIGINT')
  expect(await running.finished).toMatchObject({ code: 0, stderr: '' })
  for (const queue of from) queue.close()
})

import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test, vi } from 'vitest'
import { limit } from '../beds/limit.js'
import { loopRests } from '../beds/process.js'
import { tc } from '../beds/veth.js'
import { run } from './program.js'
import { collect, frame, on, openWire, queueFrame, transmit, type Wire, ways } from './traffic.js'

const busy = { code: 'ERR_IBVERBS_BUSY', message: expect.stringContaining('one consumer') }
const closed = { code: 'ERR_IBVERBS_CLOSED', message: 'the packet queue is closed' }

/** Resolves after `count` turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe.each(ways)('%s', (way) => {
  const { openWire, backend, raw } = on(way)

  describe('wait', () => {
    test('sleeps until a frame comes, and receive takes as many as it announced', async () => {
      using wire = openWire()
      const waiting = wire.b.wait()
      const settled = vi.fn()
      waiting.then(settled)
      await turns(20)
      expect(settled).not.toHaveBeenCalled()
      transmit(wire.a, frame(wire.b, wire.a, 60, 1), frame(wire.b, wire.a, 60, 2))
      // One system call sent both; the kernel decides whether the first is visible before the second.
      const announced = await waiting
      expect(announced).toBeGreaterThanOrEqual(1)
      expect(await collect(wire.b, 2)).toEqual([1, 2].map((seed) => frame(wire.b, wire.a, 60, seed)))
      expect(wire.b.receive()).toBe(0)
    })

    test('announces waiting frames again and again until they are received', async () => {
      using wire = openWire()
      transmit(wire.a, frame(wire.b, wire.a, 60))
      expect(await wire.b.wait()).toBe(1)
      expect(await wire.b.wait()).toBe(1)
      expect(await wire.b.spin(0)).toBe(1)
      expect(wire.b.receive()).toBe(1)
      expect(await wire.b.spin(0)).toBe(0)
    })

    test('loses no wakeup: 2000 round trips', async () => {
      using wire = openWire()
      const echo = (async () => {
        for (let i = 0; i < 2000; i++) {
          await wire.b.wait()
          expect(wire.b.receive()).toBe(1)
          wire.b.release(wire.b.slot(0))
          transmit(wire.b, frame(wire.a, wire.b, 60, i))
        }
      })()
      for (let i = 0; i < 2000; i++) {
        transmit(wire.a, frame(wire.b, wire.a, 60, i))
        await wire.a.wait()
        expect(wire.a.receive()).toBe(1)
        const slot = wire.a.slot(0)
        expect(wire.a.memory[wire.a.offset(slot) + 20]).toBe((i * 31 + 20 * 7) & 0xff)
        wire.a.release(slot)
      }
      await echo
    })

    test('ends with the signal’s reason, and the queue goes on', async () => {
      using wire = openWire()
      const reason = new Error('enough')
      await expect(wire.b.wait({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
      const controller = new AbortController()
      const waiting = wire.b.wait({ signal: controller.signal })
      controller.abort(reason)
      await expect(waiting).rejects.toBe(reason)
      const spinning = wire.b.spin(60e6, { signal: controller.signal })
      await expect(spinning).rejects.toBe(reason)
      transmit(wire.a, frame(wire.b, wire.a, 60))
      expect(await wire.b.wait({ signal: new AbortController().signal })).toBe(1)
    })

    test('leaves no listener on a signal that outlives it', async () => {
      using wire = openWire()
      const { signal } = new AbortController()
      const add = vi.spyOn(signal, 'addEventListener')
      const remove = vi.spyOn(signal, 'removeEventListener')
      for (let i = 0; i < 10; i++) {
        const waiting = wire.b.wait({ signal })
        transmit(wire.a, frame(wire.b, wire.a, 60))
        await waiting
        wire.b.receive()
      }
      expect(add.mock.calls.length).toBeGreaterThan(0)
      expect(remove.mock.calls.length).toBe(add.mock.calls.length)
    })

    test('has one consumer', async () => {
      using wire = openWire()
      const waiting = wire.b.wait()
      await expect(wire.b.wait()).rejects.toMatchObject(busy)
      await expect(wire.b.spin(10)).rejects.toMatchObject(busy)
      await expect(wire.b.batches().next()).rejects.toMatchObject(busy)
      transmit(wire.a, frame(wire.b, wire.a, 60))
      expect(await waiting).toBe(1)
      const spinning = wire.a.spin(60e6)
      await expect(wire.a.wait()).rejects.toMatchObject(busy)
      transmit(wire.b, frame(wire.a, wire.b, 60))
      expect(await spinning).toBe(1)
    })

    test('a wait that begins as a spin is aborted is a wait of its own', async () => {
      using wire = openWire()
      const controller = new AbortController()
      const spinning = wire.b.spin(60e6, { signal: controller.signal })
      await turns(2)
      controller.abort()
      const waiting = wire.b.wait()
      await expect(spinning).rejects.toMatchObject({ name: 'AbortError' })
      await turns(5)
      transmit(wire.a, frame(wire.b, wire.a, 60))
      expect(await waiting).toBe(1)
    })

    test('frames without a pending wait do not turn the event loop', async () => {
      using wire = openWire()
      const waiting = wire.b.wait()
      transmit(wire.a, frame(wire.b, wire.a, 60))
      await waiting
      // One frame that wakes the paused queue, and more that must not.
      transmit(wire.a, frame(wire.b, wire.a, 60))
      await turns(3)
      await loopRests()
    })
  })

  describe('under a flood that never lets up', () => {
    /** Bounces two frames for ever, so that a wait always finds one, until the timer fires: it must. */
    async function bounceUntilTimer(wire: Wire, wait: () => Promise<number>): Promise<number> {
      let fired = false
      const timer = setTimeout(() => {
        fired = true
      }, 5)
      let count = 0
      transmit(wire.a, frame(wire.b, wire.a, 60))
      while (!fired) {
        await wait()
        const n = wire.b.receive()
        for (let i = 0; i < n; i++) wire.b.release(wire.b.slot(i))
        transmit(wire.a, frame(wire.b, wire.a, 60))
        if (++count === 1_000_000) break
      }
      clearTimeout(timer)
      return count
    }

    test('wait lets timers through', async () => {
      using wire = openWire()
      expect(await bounceUntilTimer(wire, () => wire.b.wait())).toBeLessThan(1_000_000)
    })

    test('spin lets timers through', async () => {
      using wire = openWire()
      expect(await bounceUntilTimer(wire, () => wire.b.spin(1000))).toBeLessThan(1_000_000)
    })
  })

  describe('spin', () => {
    test('looks for the given time, and lets timers and signals run meanwhile', async () => {
      using wire = openWire()
      const before = performance.now()
      expect(await wire.b.spin(50_000)).toBe(0)
      expect(performance.now() - before).toBeGreaterThanOrEqual(50)
      // A spin that only a timer or a signal can end.
      const controller = new AbortController()
      let ticks = 0
      const timer = setInterval(() => {
        if (++ticks === 4) process.kill(process.pid, 'SIGUSR2')
      }, 1)
      process.once('SIGUSR2', () => controller.abort())
      await expect(wire.b.spin(60e6, { signal: controller.signal })).rejects.toMatchObject({
        name: 'AbortError',
      })
      clearInterval(timer)
      expect(ticks).toBeGreaterThanOrEqual(4)
    })

    test('finds a frame that comes while it looks', async () => {
      using wire = openWire()
      setTimeout(() => transmit(wire.a, frame(wire.b, wire.a, 60)), 5)
      expect(await wire.b.spin(10e6)).toBe(1)
      expect(await collect(wire.b, 1)).toEqual([frame(wire.b, wire.a, 60)])
    })

    test('ends with its signal', async () => {
      using wire = openWire()
      await expect(wire.b.spin(60e6, { signal: AbortSignal.timeout(5) })).rejects.toMatchObject({
        name: 'TimeoutError',
      })
    })
  })

  describe('batches', () => {
    test('for await', async () => {
      using wire = openWire({ batch: 4 })
      const sent = Array.from({ length: 30 }, (_, i) => frame(wire.b, wire.a, 60 + i, i))
      const received: Uint8Array[] = []
      transmit(wire.a, ...sent.slice(0, 10))
      for await (const n of wire.b.batches()) {
        expect(n).toBeLessThanOrEqual(4)
        for (let i = 0; i < n; i++) {
          const slot = wire.b.slot(i)
          const offset = wire.b.offset(slot)
          received.push(wire.b.memory.slice(offset, offset + wire.b.length(slot)))
          wire.b.release(slot)
        }
        if (received.length === 10) transmit(wire.a, ...sent.slice(10))
        if (received.length === 30) break
      }
      expect(received).toEqual(sent)
    })

    test('throws the signal’s reason, ends when the queue is closed', async () => {
      using wire = openWire()
      const reason = new Error('enough')
      const controller = new AbortController()
      const aborted = wire.b.batches({ signal: controller.signal }).next()
      controller.abort(reason)
      await expect(aborted).rejects.toBe(reason)
      const ended = wire.b.batches().next()
      wire.b.close()
      expect(await ended).toEqual({ done: true, value: undefined })
      expect(() => wire.b.batches()).toThrow(expect.objectContaining(closed))
    })
  })

  describe('close', () => {
    test.each(['wait', 'spin'] as const)('ends a %s', async (how) => {
      using wire = openWire()
      const waiting = how === 'wait' ? wire.b.wait() : wire.b.spin(60e6)
      await turns(2)
      wire.b.close()
      await expect(waiting).rejects.toMatchObject(closed)
    })

    test('within the event that woke the queue', async () => {
      using wire = openWire()
      const waiting = wire.b.wait().then(() => wire.b.close())
      transmit(wire.a, frame(wire.b, wire.a, 60))
      await waiting
      expect(wire.b.closed).toBe(true)
    })

    test('is idempotent; afterwards everything refuses', async () => {
      using wire = openWire()
      const slot = wire.b.claim()
      wire.b.close()
      wire.b.close()
      wire.b[Symbol.dispose]()
      await wire.b[Symbol.asyncDispose]()
      expect(wire.b.closed).toBe(true)
      const refusal = expect.objectContaining(closed)
      for (const call of [
        () => wire.b.receive(),
        () => wire.b.claim(),
        () => wire.b.release(slot),
        () => wire.b.forward(slot),
        () => wire.b.send(slot, 60),
        () => wire.b.submit(),
        () => wire.b.statistics(),
        () => wire.b.bufferSizes,
        () => wire.b.batches(),
        () => wire.b.setPromiscuous(true),
        () => wire.b.joinMulticast('01:00:5e:00:00:01'),
        () => wire.b.leaveMulticast('01:00:5e:00:00:01'),
      ]) {
        expect(call).toThrow(refusal)
      }
      await expect(wire.b.wait()).rejects.toMatchObject(closed)
      await expect(wire.b.spin(1)).rejects.toMatchObject(closed)
      await expect(wire.b.drain()).rejects.toMatchObject(closed)
      wire.b.ref().unref()
      expect(wire.b.memory[0]).toBe(0)
      const { inspect } = await import('node:util')
      expect(inspect(wire.b)).toMatch(
        new RegExp(`^PacketQueue \\{ [\\w/]+ \\(.*, MTU 1500\\), ${backend}, batch 64, closed \\}$`),
      )
    })
  })

  describe('keeping the process alive', () => {
    test('a queue without a pending wait does not', async () => {
      using wire = openWire()
      wire.b.close()
      expect(await run('idle.mjs', wire.veth.b, 'open', backend)).toEqual({ code: 0, output: 'open\n' })
      expect(await run('idle.mjs', wire.veth.b, 'aborted', backend)).toEqual({ code: 0, output: 'aborted\n' })
    })

    test('a wait does, until unref', async () => {
      using wire = openWire()
      wire.b.close()
      expect(await run('idle.mjs', wire.veth.b, 'unref', backend)).toEqual({ code: 13, output: 'unref\n' })
      // A child process has its own software ports: tests/soft/raw-packet.test.ts has one that waits.
      if (raw) return
      const waiting = run('idle.mjs', wire.veth.b, 'wait', backend)
      wire.a.setPromiscuous(true)
      // The child announces its wait by a frame to a stranger; our frame then ends the wait.
      await wire.a.wait({ signal: AbortSignal.timeout(limit) })
      transmit(wire.a, frame(wire.b, wire.a, 60))
      expect(await waiting).toEqual({ code: 0, output: 'wait\n1\n' })
    })
  })
})

/** Packet sockets only: AF_XDP bypasses the queueing disciplines. */
describe('a kernel that has no room', () => {
  /** 8 Mbit/s out of `a`, and room for about four frames of 1000 bytes in its socket. */
  function narrow(): Wire {
    const wire = openWire()
    tc(
      'qdisc',
      'add',
      'dev',
      wire.veth.a,
      'root',
      'tbf',
      'rate',
      '8mbit',
      'burst',
      '2000',
      'limit',
      '1000000',
    )
    const a = PacketQueue.open(wire.veth.a, { sendBuffer: 4608 })
    wire.a.close()
    const close = (): void => {
      a.close()
      wire[Symbol.dispose]()
    }
    return { ...wire, a, [Symbol.dispose]: close }
  }

  test('keeps refused frames pending; drain sleeps until they are accepted', async () => {
    using wire = narrow()
    const sent = Array.from({ length: 50 }, (_, i) => frame(wire.b, wire.a, 1000, i))
    for (const bytes of sent) queueFrame(wire.a, bytes)
    const accepted = wire.a.submit()
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(50)
    expect(wire.a.error).toBe(null)
    expect(wire.a.pending).toBe(50 - accepted)
    const draining = wire.a.drain()
    await expect(wire.a.drain()).rejects.toMatchObject({ code: 'ERR_IBVERBS_BUSY' })
    await draining
    expect(wire.a.pending).toBe(0)
    expect(await collect(wire.b, 50)).toEqual(sent)
    expect(wire.a.statistics().transmitted).toBe(50)
  })

  test('drain ends with its signal; asynchronous disposal drains', async () => {
    using wire = narrow()
    const sent = Array.from({ length: 30 }, (_, i) => frame(wire.b, wire.a, 1000, i))
    for (const bytes of sent) queueFrame(wire.a, bytes)
    wire.a.submit()
    const controller = new AbortController()
    const draining = wire.a.drain({ signal: controller.signal })
    controller.abort()
    await expect(draining).rejects.toMatchObject({ name: 'AbortError' })
    expect(wire.a.pending).toBeGreaterThan(0)
    await wire.a[Symbol.asyncDispose]()
    expect(wire.a.closed).toBe(true)
    expect(await collect(wire.b, 30)).toEqual(sent)
  })

  test('a full device queue is no error, and drain tries again', async () => {
    using wire = openWire()
    tc('qdisc', 'add', 'dev', wire.veth.a, 'root', 'tbf', 'rate', '8mbit', 'burst', '2000', 'limit', '4000')
    const sent = Array.from({ length: 20 }, (_, i) => frame(wire.b, wire.a, 1000, i))
    for (const bytes of sent) queueFrame(wire.a, bytes)
    const accepted = wire.a.submit()
    expect(accepted).toBeLessThan(20)
    expect(wire.a.error).toBe(null)
    expect(wire.a.pending).toBe(20 - accepted)
    await wire.a.drain()
    expect(await collect(wire.b, 20)).toEqual(sent)
    expect(wire.a.statistics().refused).toBe(0)
  })

  test('a frame that the queueing discipline never takes is refused, and those behind it go', async () => {
    using wire = openWire()
    tc('qdisc', 'add', 'dev', wire.veth.a, 'root', 'tbf', 'rate', '8mbit', 'burst', '1000', 'limit', '4000')
    const sent = [60, 61, 62].map((length) => frame(wire.b, wire.a, length))
    const free = wire.a.frames.free
    for (const bytes of [sent[0], frame(wire.b, wire.a, 1200), sent[1], sent[2]]) queueFrame(wire.a, bytes)
    expect(wire.a.submit()).toBe(1)
    expect(wire.a.error).toBe(null)
    expect(wire.a.pending).toBe(3)
    await expect(wire.a.drain()).rejects.toMatchObject({
      code: 'ENOBUFS',
      syscall: 'sendmmsg',
      message: expect.stringMatching(/: a frame of 1200 bytes was refused: the queueing discipline of "\w+"/),
    })
    expect(wire.a.pending).toBe(2)
    await wire.a.drain()
    expect(await collect(wire.b, 3)).toEqual(sent)
    expect(wire.a.frames.free).toBe(free)
    expect(wire.a.statistics()).toMatchObject({ transmitted: 3, refused: 1, refusals: { ENOBUFS: 1 } })
  })
})

import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { loopRests } from '../beds/process.js'
import { awaitRunning, ip, tc, vethPair } from '../beds/veth.js'
import { command, programPath } from './program.js'
import { collect, frame, on, queueFrame, transmit, ways } from './traffic.js'

const gone = (name: string) => ({
  name: 'VerbsError',
  code: 'ENODEV',
  errno: -19,
  message: expect.stringMatching(new RegExp(`interface "${name}" \\(index \\d+\\) was removed`)),
})
const down = (name: string) => ({
  name: 'VerbsError',
  code: 'ENETDOWN',
  errno: -100,
  message: expect.stringContaining(`interface "${name}" is down: ip link set ${name} up`),
})

/** Sends one frame after another out of `a`, in the background, until `stop` is called. */
function traffic(a: PacketQueue, bytes: Uint8Array): { stop(): Promise<void> } {
  let going = true
  const done = (async () => {
    while (going) {
      const slot = a.claim()
      if (slot >= 0) {
        a.memory.set(bytes, a.offset(slot))
        a.send(slot, bytes.length)
        a.submit()
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  return {
    stop: () => {
      going = false
      return done
    },
  }
}

describe.each(ways)('%s', (way) => {
  const { openWire, open, xdp, raw, packet, backend, receivePath, filled, syscalls } = on(way)
  // A software port has no interface that could be removed: tests/soft/raw-packet.test.ts tests its faults.
  const onInterface = raw ? describe.skip : describe

  onInterface('opening', () => {
    test('an interface that is down', () => {
      using veth = vethPair()
      ip('link', 'set', veth.a, 'down')
      expect(() => open(veth.a)).toThrow(expect.objectContaining({ ...down(veth.a), syscall: 'bind' }))
    })

    test('without CAP_NET_RAW: EPERM and the remedy', async () => {
      using veth = vethPair()
      const { code, output } = await command(
        'setpriv',
        '--inh-caps=-all',
        '--bounding-set=-all',
        process.execPath,
        programPath('open.mjs'),
        veth.a,
        backend,
      )
      expect(output).toMatch(
        /^EPERM socket EPERM: socket: AF_(PACKET|XDP) \(raw frames need CAP_NET_RAW: .*unshare -Urn\)\n$/,
      )
      expect(code).toBe(0)
    })
  })

  onInterface('an interface that goes down in traffic', () => {
    test('ends a wait, fails every call, and works again when it is up', async () => {
      using wire = openWire()
      const { a, b } = wire
      const stream = traffic(a, frame(b, a, 60))
      await collect(b, 100)
      await stream.stop()
      for (let n = b.receive(); n > 0; n = b.receive()) for (let i = 0; i < n; i++) b.release(b.slot(i))
      const waiting = b.wait()
      ip('link', 'set', wire.veth.b, 'down')
      await expect(waiting).rejects.toMatchObject({ ...down(wire.veth.b), syscall: syscalls.receive })
      // Reported once; then the queue is silent, like the wire.
      expect(b.receive()).toBe(0)
      expect(await b.spin(1000)).toBe(0)
      queueFrame(b, frame(a, b, 60, 9))
      expect(b.submit()).toBe(0)
      expect(b.error).toMatchObject({ ...down(wire.veth.b), syscall: syscalls.transmit })
      expect(b.pending).toBe(1)
      await expect(b.drain()).rejects.toMatchObject(down(wire.veth.b))
      ip('link', 'set', wire.veth.b, 'up')
      awaitRunning(wire.veth.a)
      awaitRunning(wire.veth.b)
      expect(b.submit()).toBe(1)
      expect(b.error).toBe(null)
      expect(await collect(a, 1)).toEqual([frame(a, b, 60, 9)])
      // Asleep before the frame comes: the error ended the watch on the descriptor, and this wait started a new one.
      const again = b.wait({ signal: AbortSignal.timeout(limit) })
      await new Promise((resolve) => setTimeout(resolve, 1))
      transmit(a, frame(b, a, 60, 10))
      expect(await again).toBe(1)
      expect(await collect(b, 1)).toEqual([frame(b, a, 60, 10)])
    })

    test('ends a spin', async () => {
      using wire = openWire()
      const spinning = wire.b.spin(60e6)
      ip('link', 'set', wire.veth.b, 'down')
      await expect(spinning).rejects.toMatchObject(down(wire.veth.b))
    })
  })

  onInterface('an interface that is removed in traffic', () => {
    test('ends a wait, and fails every later call', async () => {
      using wire = openWire()
      const { a, b } = wire
      const stream = traffic(a, frame(b, a, 60))
      await collect(b, 100)
      // Asleep while frames still come: it receives and releases until the error comes.
      const ended = (async () => {
        for await (const n of b.batches()) for (let i = 0; i < n; i++) b.release(b.slot(i))
      })()
      const caught = expect(ended).rejects.toMatchObject(gone(wire.veth.b))
      ip('link', 'del', wire.veth.b)
      await caught
      await stream.stop()
      await expect(b.wait()).rejects.toMatchObject(gone(wire.veth.b))
      await expect(b.spin(100)).rejects.toMatchObject(gone(wire.veth.b))
      expect(() => b.receive()).toThrow(expect.objectContaining(gone(wire.veth.b)))
      expect(() => a.receive()).toThrow(expect.objectContaining(gone(wire.veth.a)))
      expect(a.pending).toBeGreaterThan(0)
      expect(a.submit()).toBe(0)
      expect(a.error).toMatchObject({ ...gone(wire.veth.a), syscall: syscalls.transmit })
      await expect(a.drain()).rejects.toMatchObject(gone(wire.veth.a))
      await a[Symbol.asyncDispose]()
      expect(a.closed).toBe(true)
    })

    test('does not turn the event loop without a wait', async () => {
      using wire = openWire()
      const waiting = wire.b.wait()
      ip('link', 'del', wire.veth.b)
      await expect(waiting).rejects.toMatchObject({ code: 'ENODEV' })
      await loopRests()
    })

    if (!xdp) {
      test('while a frame is being drained', async () => {
        using wire = openWire()
        tc(
          'qdisc',
          'add',
          'dev',
          wire.veth.a,
          'root',
          'tbf',
          'rate',
          '1mbit',
          'burst',
          '2000',
          'limit',
          '1000000',
        )
        using a = PacketQueue.open(wire.veth.a, { sendBuffer: 4608 })
        for (let i = 0; i < 50; i++) queueFrame(a, frame(wire.b, a, 1000, i))
        const draining = a.drain()
        expect(a.pending).toBeGreaterThan(0)
        ip('link', 'del', wire.veth.a)
        await expect(draining).rejects.toMatchObject(gone(wire.veth.a))
      })
    }
  })

  describe('a frame that the interface refuses', () => {
    test('too long: EMSGSIZE, and the frames after it go out on the next submit', async () => {
      using wire = openWire({ frameSize: 4096 })
      const { a, b } = wire
      const good = [frame(b, a, 1514, 1), frame(b, a, 60, 2), frame(b, a, 1514, 3)]
      queueFrame(a, good[0])
      queueFrame(a, good[1])
      queueFrame(a, frame(b, a, 1515))
      queueFrame(a, good[2])
      expect(a.submit()).toBe(2)
      expect(a.error).toMatchObject({ name: 'VerbsError', code: 'EMSGSIZE', syscall: syscalls.transmit })
      expect(a.error?.message).toContain(
        `a frame of 1515 bytes was refused: "${wire.veth.a}" carries at most 1514`,
      )
      expect(a.pending).toBe(1)
      expect(a.submit()).toBe(1)
      expect(a.error).toBe(null)
      expect(await collect(b, 3)).toEqual(good)
      expect(a.statistics()).toMatchObject({ transmitted: 3, refused: 1, refusals: { EMSGSIZE: 1 } })
      a.submit()
      expect(a.frames.free).toBe(4096 - filled(a))
    })

    test.skipIf(raw)('too long since the MTU was changed', async () => {
      using wire = openWire()
      ip('link', 'set', wire.veth.a, 'mtu', '1000')
      // AF_XDP's queue learns of it on the event loop. The kernel has reported it already: the second of two immediates
      // runs after a poll of all descriptors (libuv's poll phase).
      for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve))
      queueFrame(wire.a, frame(wire.b, wire.a, 1514))
      expect(wire.a.submit()).toBe(0)
      expect(wire.a.error?.message).toContain('carries at most 1014')
    })

    test('drain stops at it, disposal goes on after it', async () => {
      using wire = openWire({ frameSize: 4096 })
      const { a, b } = wire
      const good = [1, 2, 3].map((i) => frame(b, a, 60, i))
      for (const bytes of good) {
        queueFrame(a, frame(b, a, 2000))
        queueFrame(a, bytes)
      }
      await expect(a.drain()).rejects.toMatchObject({ code: 'EMSGSIZE' })
      expect(a.pending).toBe(5)
      await a[Symbol.asyncDispose]()
      expect(await collect(b, 3)).toEqual(good)
    })

    test.each([0, 1, 13, -1, 2049, 14.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 + 60])(
      '%d bytes',
      (length) => {
        using wire = openWire()
        const slot = wire.a.claim()
        expect(() => wire.a.send(slot, length)).toThrow(
          expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('"length"') }),
        )
        wire.a.send(slot, 60)
        expect(wire.a.submit()).toBe(1)
      },
    )

    test('outside its place', () => {
      using wire = openWire()
      const slot = wire.a.claim()
      const offset = wire.a.offset(slot)
      for (const bad of [offset - 1, offset + 2048, offset + 2035, -1, 0.5, 2 ** 40, Number.NaN]) {
        expect(() => wire.a.send(slot, 14, bad)).toThrow(
          expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('"offset"') }),
        )
      }
      expect(() => wire.a.send(slot, 15, offset + 2034)).toThrow(
        expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
      )
      wire.a.send(slot, 14, offset + 2034)
      expect(wire.a.submit()).toBe(1)
    })

    test('a claimed frame that was never written cannot be forwarded', () => {
      using wire = openWire()
      expect(() => wire.a.forward(wire.a.claim())).toThrow(
        expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
      )
    })
  })

  if (packet) {
    test('frames that no receive() takes in time are dropped and counted', async () => {
      using wire = openWire()
      using small = open(wire.veth.b, { receiveBuffer: 2304 })
      let sent = 0
      for (let round = 0; round < 10; round++) {
        const frames = Array.from({ length: 200 }, (_, i) => frame(small, wire.a, 60, i))
        transmit(wire.a, ...frames)
        sent += frames.length
      }
      await collect(wire.b, sent)
      let received = 0
      for (let n = small.receive(); n > 0; n = small.receive()) received += n
      const statistics = small.statistics()
      expect(received).toBeLessThan(sent)
      expect(statistics.received).toBe(received)
      expect(statistics.dropped).toBe(sent - received)
      expect(statistics.drops).toEqual(
        receivePath === 'ring'
          ? { receiveRingFull: sent - received }
          : { receiveBufferFull: sent - received, undescribed: 0 },
      )
      // Each read resets the kernel's counters, but not the queue's.
      expect(small.statistics()).toEqual(statistics)
    })
  }
})

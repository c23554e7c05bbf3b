/** Features of AF_XDP that packet sockets lack. The tests of their common features are in the other files, over both. */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Arena, PacketQueue } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { limit } from '../beds/limit.js'
import { ip, type VethPair, vethPair } from '../beds/veth.js'
import { command, programPath, run } from './program.js'
import { collect, copy, etherType, frame, on, queueFrame, receiveOne, transmit } from './traffic.js'

const { open, openWire } = on('af_xdp')

/** The program on an interface, as ip(8) sees it: 'xdp' (native), 'xdpgeneric', or none. */
function programOn(name: string): string | undefined {
  return /\bprog\/(xdp\w*)/.exec(ip('-d', 'link', 'show', name))?.[1]
}

describe('which backend', () => {
  test('by default a packet socket, which leaves the frames to the kernel', () => {
    using veth = vethPair()
    using queue = PacketQueue.open(veth.a)
    expect(queue.report).toEqual({
      backend: 'af_packet',
      zeroCopy: false,
      receivePath: 'ring',
      mode: null,
      multiBuffer: false,
      sharedMemory: false,
      queueId: null,
      queues: 1,
      fanout: null,
      untold: [],
      carrier: true,
      notUsed: [{ what: 'af_xdp', why: expect.stringContaining('exclusive: true') }],
    })
    using named = PacketQueue.open(veth.a, { backend: 'af_packet' })
    expect(named.report.notUsed).toEqual([])
  })

  test('exclusive: AF_XDP, native, copying on a veth, and why not without a copy', () => {
    using veth = vethPair()
    using queue = PacketQueue.open(veth.a, { exclusive: true })
    expect(queue.report).toEqual({
      backend: 'af_xdp',
      zeroCopy: false,
      receivePath: 'ring',
      mode: 'native',
      multiBuffer: true,
      sharedMemory: false,
      queueId: 0,
      queues: 1,
      fanout: null,
      untold: [
        {
          what: expect.stringMatching(/^partial checksums/),
          when: expect.any(String),
          ends: expect.any(String),
        },
        { what: 'VLAN tags', when: expect.any(String), ends: expect.stringContaining('rxvlan off') },
      ],
      carrier: true,
      notUsed: [
        { what: 'zero-copy, multi-buffer', why: 'ENOTSUP' },
        { what: 'zero-copy', why: 'ENOTSUP' },
      ],
    })
    expect(programOn(veth.a)).toBe('xdp')
    queue.close()
    expect(programOn(veth.a)).toBe(undefined)
  })

  test('generic where the driver has no XDP of its own', async () => {
    ip('link', 'set', 'lo', 'up')
    using queue = PacketQueue.open('lo', { exclusive: true, promiscuous: true, etherType })
    expect(queue.report).toMatchObject({ backend: 'af_xdp', mode: 'generic', queues: 0 })
    expect(queue.report.notUsed).toContainEqual({ what: 'native, multi-buffer', why: 'ENOTSUP' })
    expect(programOn('lo')).toBe('xdp')
    const sent = frame(new Uint8Array(6), queue, 100, 8)
    transmit(queue, sent)
    expect(await collect(queue, 1)).toEqual([sent])
  })

  test('exclusive with an option that AF_XDP lacks: a packet socket, and the reason', async () => {
    using veth = vethPair()
    const warned = once(process, 'warning')
    using queue = PacketQueue.open(veth.a, { exclusive: true, timestamps: true })
    expect(queue.backend).toBe('af_packet')
    expect(queue.report.notUsed).toEqual([
      { what: 'af_xdp', why: "options.timestamps must be left out, or with backend: 'af_packet'" },
    ])
    expect((await warned)[0]).toMatchObject({
      name: 'IbverbsWarning',
      code: 'IBVERBS_NOT_EXCLUSIVE',
      message: expect.stringContaining(
        'exclusive: true is AF_PACKET here, and the kernel sees the frames too: options.timestamps',
      ),
    })
  })

  test('headroom: up to the kernel’s limit, an error in words beyond it, and never a packet socket instead', () => {
    using veth = vethPair()
    const room = { frameSize: 2048, frameCount: 64 }
    using queue = open(veth.a, { ...room, headroom: 1600 })
    expect(queue.backend).toBe('af_xdp')
    for (const way of [{ backend: 'af_xdp' }, { exclusive: true }] as const) {
      expect(() => PacketQueue.open(veth.b, { ...way, ...room, headroom: 1601 })).toThrow(
        expect.objectContaining({
          code: 'ERR_OUT_OF_RANGE',
          message: expect.stringContaining(
            `"options.headroom" must be at most 1600 with backend 'af_xdp': its buffers are of 2048 bytes, not 1601`,
          ),
        }),
      )
    }
  })

  test('busyPoll on a device without NAPI: reported once the kernel reports it', async () => {
    ip('link', 'set', 'lo', 'up')
    using queue = open('lo', { promiscuous: true, etherType, busyPoll: 20, frameCount: 64 })
    const busy = () => queue.report.notUsed.find(({ what }) => what === 'busyPoll')
    expect(busy()).toBe(undefined)
    transmit(queue, frame(new Uint8Array(6), queue, 100, 8))
    await collect(queue, 1)
    expect(busy()?.why).toMatch(/^"lo" has no NAPI here/)
    expect(queue.report.untold.map(({ what }) => what)[0]).toMatch(/^super-frames/)
  })

  test('exclusive on an interface with several receive queues: all of them, unless one is named', () => {
    using veth = vethPair({ queues: 2 })
    using whole = PacketQueue.open(veth.a, { exclusive: true })
    expect(whole.report).toMatchObject({ backend: 'af_xdp', queueId: 'all', queues: 2 })
    whole.close()
    using one = PacketQueue.open(veth.a, { exclusive: true, queueId: 1 })
    expect(one.report).toMatchObject({ backend: 'af_xdp', queueId: 1, queues: 2 })
    expect(() => PacketQueue.open(veth.b, { exclusive: true, queueId: 2 })).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('it has 2, 0 to 1') }),
    )
    for (const queueId of [-1, 4096, 1.5, Number.NaN]) {
      expect(() => open(veth.b, { queueId })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    for (const queueId of ['1', 'none', null, 1n] as never[]) {
      expect(() => open(veth.b, { queueId })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE', message: expect.stringContaining("'all'") }),
      )
    }
  })

  test.each<[string, object, string, string]>([
    ['outgoing', { outgoing: true }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['timestamps', { timestamps: true }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['receivePath', { receivePath: 'ring' }, 'ERR_INVALID_ARG_TYPE', 'af_packet'],
    ['receiveBuffer', { receiveBuffer: 65536 }, 'ERR_INVALID_ARG_TYPE', 'af_packet.*receiveFrames'],
    ['transmitChecksum', { transmitChecksum: true }, 'ERR_INVALID_ARG_TYPE', 'raw_packet_qp'],
    ['frameSize', { frameSize: 1024 }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
    ['headroom', { headroom: 1900, frameSize: 2048 }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
    ['arena', { arena: Arena.over(Arena.allocate(65536).bytes.subarray(64)) }, 'ERR_OUT_OF_RANGE', 'af_xdp'],
  ])('what it has not is refused by name: %s', (name, options, code, words) => {
    using veth = vethPair()
    const before = native.handleCount()
    const message = expect.stringMatching(new RegExp(`"options.${name}".*${words}`))
    expect(() => open(veth.a, options)).toThrow(expect.objectContaining({ code, message }))
    expect(native.handleCount()).toBe(before)
  })

  test('exclusive refuses an AF_XDP option together with an AF_PACKET option', () => {
    using veth = vethPair()
    for (const options of [{ queueId: 0 }, { busyPoll: 20 }, { channels: 1 }]) {
      expect(() => PacketQueue.open(veth.a, { exclusive: true, timestamps: true, ...options })).toThrow(
        expect.objectContaining({
          code: 'ERR_INVALID_ARG_TYPE',
          message: expect.stringContaining('"options.timestamps" must be left out'),
        }),
      )
    }
    using off = open(veth.a, { outgoing: false, timestamps: false, transmitChecksum: false })
    expect(off.backend).toBe('af_xdp')
  })

  test('other backends refuse its options', () => {
    using veth = vethPair()
    for (const options of [{ queueId: 0 }, { busyPoll: 20 }, { backend: 'af_packet', queueId: 0 }] as const) {
      expect(() => PacketQueue.open(veth.a, options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE', message: expect.stringContaining('af_xdp') }),
      )
    }
  })
})

describe('memory', () => {
  let veths: VethPair
  beforeAll(() => {
    veths = vethPair()
  })
  afterAll(() => veths.remove())

  test.each(['fill', 'receive', 'transmit', 'completion'] as const)(
    'the %s ring, taken away by its user: errors that can be caught, and a close that harms nobody',
    async (name) => {
      expect(await run('transfer.mjs', name, veths.a, veths.b)).toEqual({ code: 0, output: 'alive\n' })
    },
  )

  test('a closed queue’s rings are empty, and still safe to read', () => {
    using wire = openWire()
    const { rings } = wire.a
    wire.a.close()
    for (const words of Object.values(rings)) {
      expect(words.length).toBe(0)
      expect(words[0]).toBe(undefined)
      words[0] = 1
      expect(() => Atomics.load(words, 0)).toThrow(TypeError)
    }
  })

  test('the rings are where ringLayouts says', async () => {
    using wire = openWire()
    const { a, b } = wire
    transmit(a, frame(b, a, 77))
    expect(await b.wait()).toBe(1)
    const { rings, ringLayouts } = b
    expect(rings.receive[ringLayouts.receive.producer]).toBe(1)
    expect(rings.receive[ringLayouts.receive.consumer]).toBe(0)
    expect(rings.receive[ringLayouts.receive.records + 2]).toBe(77)
    expect(ringLayouts.receive.capacity).toBe(2048)
    expect(rings.fill[ringLayouts.fill.producer]).toBe(2048)
    expect(a.rings.transmit[a.ringLayouts.transmit.consumer]).toBe(1)
  })

  test('too little locked memory: ENOBUFS, and the limit in force', async () => {
    using veth = vethPair()
    const { output } = await command(
      'prlimit',
      '--memlock=65536',
      'setpriv',
      '--inh-caps=-ipc_lock',
      '--bounding-set=-ipc_lock',
      process.execPath,
      programPath('open.mjs'),
      veth.a,
      'af_xdp',
    )
    expect(output).toMatch(
      /^ENOBUFS setsockopt ENOBUFS: setsockopt: XDP_UMEM_REG \(locked memory is limited to 64 KiB: raise/,
    )
  })
})

test('in a user namespace: EPERM names the missing capabilities, and transmitOnly works', async () => {
  const { code, output } = await command(
    'unshare',
    '-Urn',
    process.execPath,
    '--no-warnings',
    programPath('unprivileged-xdp.mjs'),
  )
  expect(code, output).toBe(0)
  expect(JSON.parse(output)).toEqual({
    named: {
      code: 'EPERM',
      syscall: 'bpf',
      message:
        'EPERM: bpf: BPF_MAP_CREATE (an XDP program needs CAP_NET_ADMIN and CAP_BPF (or CAP_SYS_ADMIN) in the first ' +
        "user namespace, which unshare -U leaves: run as root, or use backend 'af_packet')",
    },
    exclusive: 'af_packet',
    why: expect.stringContaining('EPERM: bpf: BPF_MAP_CREATE'),
    transmitted: 5,
    received: 5,
  })
})

describe('frames', () => {
  test('frames that the queue does not accept go on to the kernel', async () => {
    using wire = openWire()
    const { a, b } = wire
    using beside = PacketQueue.open(wire.veth.b, { promiscuous: true })
    const stranger = frame(Uint8Array.of(2, 0, 0, 0, 0, 9), a, 60, 1)
    const own = frame(b, a, 60, 2)
    transmit(a, own, stranger, own)
    expect(await collect(beside, 1)).toEqual([stranger])
    expect(await collect(b, 2)).toEqual([own, own])
    expect(beside.receive()).toBe(0)
    expect(b.receive()).toBe(0)
  })

  test('to and from a packet socket at the other end, at every size', async () => {
    using veth = vethPair()
    using xdp = open(veth.a)
    using packet = PacketQueue.open(veth.b)
    for (let first = 14; first <= 1514; first += 100) {
      for (const [from, to] of [
        [xdp, packet],
        [packet, xdp],
      ]) {
        const lengths = Array.from({ length: Math.min(100, 1515 - first) }, (_, i) => first + i)
        const sent = lengths.map((length) => frame(to, from, length, length))
        transmit(from, ...sent)
        expect(Buffer.compare(Buffer.concat(await collect(to, sent.length)), Buffer.concat(sent))).toBe(0)
      }
    }
  })

  test('forwards jumbo frames in several of the kernel’s buffers, in place', async () => {
    using wire = openWire({ mtu: 9000, promiscuous: true })
    const { a, b } = wire
    const lengths = [9014, 60, 4096, 3840, 3841, 7936, 7937, 9013, 14]
    const sent = lengths.map((length, i) => frame(b, a, length, i))
    for (let round = 0; round < 30; round++) {
      transmit(a, ...sent)
      let forwarded = 0
      while (forwarded < sent.length) {
        await b.wait({ signal: AbortSignal.timeout(limit) })
        const n = b.receive()
        for (let i = 0; i < n; i++) {
          expect(Buffer.compare(copy(b, b.slot(i)), sent[forwarded + i])).toBe(0)
          b.forward(b.slot(i))
        }
        expect(b.submit()).toBe(n)
        forwarded += n
      }
      expect(Buffer.compare(Buffer.concat(await collect(a, sent.length)), Buffer.concat(sent))).toBe(0)
    }
    a.submit()
    b.submit()
    expect([a.frames.free, b.frames.free]).toEqual([2048, 2048])
    expect(a.statistics()).toMatchObject({
      received: 270,
      dropped: 0,
      transmitted: 270,
      refused: 0,
      invalid: 0,
    })
  })

  test('drops and counts frames that find no free frame', async () => {
    using wire = openWire({ frameCount: 64 })
    const { a, b } = wire
    const sent = Array.from({ length: 30 }, (_, i) => frame(b, a, 60, i))
    transmit(a, ...sent)
    transmit(a, ...sent)
    expect(await collect(b, 32)).toEqual([...sent, ...sent.slice(0, 2)])
    expect(b.receive()).toBe(0)
    expect(b.statistics()).toMatchObject({
      received: 32,
      dropped: 28,
      drops: { fillRingEmpty: 28, receiveRingFull: 0, other: 0 },
      xdp: { dropped: 28, fillRingEmpty: 28, receiveRingFull: 0, receiveInvalid: 0, transmitInvalid: 0 },
    })
  })

  test('the kernel counts frames that it cannot send', async () => {
    using wire = openWire({ frameCount: 64 })
    const { a, b } = wire
    queueFrame(a, frame(b, a, 60, 1))
    queueFrame(a, frame(b, a, 60, 2))
    a.rings.transmit[a.ringLayouts.transmit.records] = 64 * 2048
    a.submit()
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 2)])
    expect(a.statistics().xdp).toMatchObject({ transmitInvalid: 1, receiveInvalid: 0, dropped: 0 })
    transmit(a, frame(b, a, 60, 3))
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 3)])
    expect(b.statistics()).toMatchObject({ received: 2, dropped: 0 })
  })

  test('sends more than the kernel sends in one call', async () => {
    using wire = openWire({ receiveFrames: 3000 })
    const { a, b } = wire
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 1000; i++) queueFrame(a, frame(b, a, 60, i))
      await a.drain()
      const received = await collect(b, 1000 - b.statistics().dropped)
      expect(received.length).toBe(1000)
    }
  })
})

describe('foreign writes to the kernel’s rings', () => {
  test('lose frames at most; the process and the interface live on', async () => {
    using veth = vethPair()
    let state = 20260101
    const next = (): number => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state >>> 0
    }
    const plausible = (): number =>
      [next() % 8, next() % 70, (next() % 70) * 2048, next() % 3000, 2 ** 32 - 1 - (next() % 8), next()][
        next() % 6
      ]
    const errors = new Set<string>()
    for (let round = 0; round < 6; round++) {
      using a = open(veth.a, { frameCount: 64, batch: 16, promiscuous: true })
      using b = open(veth.b, { frameCount: 64, batch: 16, promiscuous: true })
      for (let i = 0; i < 300; i++) {
        for (const queue of [a, b]) {
          const rings = Object.values(queue.rings)
          for (let words = next() % 4; words > 0; words--) {
            const ring = rings[next() % 4]
            ring[next() % ring.length] = plausible()
          }
          try {
            const slot = queue.claim()
            if (slot >= 0) queue.send(slot, 14 + (next() % 1500))
            queue.submit()
            if (queue.error) errors.add(queue.error.code)
            const n = queue.receive()
            for (let k = 0; k < n; k++) {
              const received = queue.slot(k)
              expect(queue.length(received)).toBeLessThanOrEqual(2048)
              if (next() % 2 || queue.length(received) < 14) queue.release(received)
              else queue.forward(received)
            }
          } catch (error) {
            errors.add((error as { code?: string }).code ?? String(error))
          }
        }
      }
    }
    for (const code of errors)
      expect(['ERANGE', 'ENOBUFS', 'EMSGSIZE', 'EINVAL', 'EOVERFLOW']).toContain(code)
    using a = open(veth.a)
    using b = open(veth.b)
    transmit(a, frame(b, a, 60, 5))
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 5)])
  })

  test('never hand out a frame that the caller holds', async () => {
    using wire = openWire()
    const { a, b } = wire
    const mine = b.claim()
    transmit(a, frame(b, a, 60))
    await b.wait()
    b.rings.receive[b.ringLayouts.receive.records] = b.offset(mine)
    expect(b.receive()).toBe(0)
    expect(b.statistics().invalid).toBe(1)
    b.release(mine)
  })

  test('never free a frame that was not sent', () => {
    using wire = openWire()
    const { a } = wire
    const mine = a.claim()
    a.rings.completion[a.ringLayouts.completion.producer] = 1
    a.rings.completion[a.ringLayouts.completion.records] = a.offset(mine)
    a.submit()
    a.release(mine)
    expect(() => a.release(mine)).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_STALE_SLOT' }))
  })
})

describe('looking', () => {
  test('makes no system call while the queue is empty', async () => {
    using veth = vethPair()
    // The kernel counts them, as strace would show for 100 000 looks.
    const { code, output } = await run('looks.mjs', veth.a)
    expect(code, output).toBe(0)
    const { looks, systemCalls } = JSON.parse(output)
    expect(looks).toBe(100_000)
    expect(systemCalls).toBe(0)
  })

  test('sets busy polling, and the queue works with it', async () => {
    using wire = openWire({ busyPoll: 20 })
    const { a, b } = wire
    transmit(a, frame(b, a, 60, 3))
    expect(await b.spin(1e6)).toBe(1)
    expect(copy(b, await receiveOne(b))).toEqual(frame(b, a, 60, 3))
    expect(b.report.notUsed.map(({ what }) => what)).not.toContain('SO_BUSY_POLL')
  })
})

test('a killed process leaves no program behind', async () => {
  using veth = vethPair()
  const { output } = await run('killed.mjs', veth.a)
  expect(output).toBe('xdp\n')
  expect(programOn(veth.a)).toBe(undefined)
  expect(readFileSync('/proc/self/net/dev', 'latin1')).toContain(veth.a)
})

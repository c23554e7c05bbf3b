/** PacketQueue on a raw packet queue pair: its own features, beside the suite that runs over every backend. */
import { QueuePair } from 'ibverbs'
import { FrameFlag, FramePool, PacketQueue, type PacketQueueOptions, PacketType } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test, vi } from 'vitest'
import { native } from '../../dist/native.js'
import { loopRests } from '../beds/process.js'
import { collect, copy, frame, queueFrame, receiveOne, transmit } from '../ethernet/traffic.js'

interface Wire extends Disposable {
  soft: ReturnType<typeof softConnectX>
  a: PacketQueue
  b: PacketQueue
}

function openWireWith(options?: PacketQueueOptions): Wire {
  const soft = softConnectX({ wire: 'pair', macs: ['02:00:0a:00:00:01', '02:00:0a:00:00:02'] })
  const a = PacketQueue.open('mlx5_soft0/1', options)
  const b = PacketQueue.open('mlx5_soft1', options)
  const close = (): void => {
    a.close()
    b.close()
    soft.close()
  }
  return { soft, a, b, [Symbol.dispose]: close }
}

const word = (value: number): number[] => [value >> 8, value & 0xff]

/** UDP over IPv4 to 4001 with 22 bytes, whose checksums are right or garbage. */
function datagram(to: PacketQueue, from: PacketQueue, right: boolean, port = 4001): Uint8Array {
  const bytes = frame(to, from, 64)
  bytes.set([8, 0, 0x45, 0, ...word(50), 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 12)
  bytes.set([...word(4000), ...word(port), ...word(30), 0, 0], 34)
  const sum = (begin: number, end: number, first = 0): number => {
    let total = first
    for (let i = begin; i < end; i += 2) total += (bytes[i] << 8) | bytes[i + 1]
    while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
    return total
  }
  if (!right) return bytes
  bytes.set(word(~sum(14, 34) & 0xffff), 24)
  bytes.set(word(~sum(34, 64, sum(26, 34, 17 + 30)) & 0xffff), 40)
  return bytes
}

test('opens a device, a device and its port, and refuses other names', () => {
  using wire = openWireWith()
  expect(wire.a.interface).toMatchObject({
    name: 'mlx5_soft0/1',
    mac: '02:00:0a:00:00:01',
    mtu: 1500,
    index: 0,
    up: true,
  })
  expect(wire.b.interface).toMatchObject({ name: 'mlx5_soft1/1', mac: '02:00:0a:00:00:02' })
  expect(wire.a.report).toMatchObject({
    ...{ backend: 'mlx5', zeroCopy: true, receivePath: null, mode: null, multiBuffer: false },
    ...{ queueId: null, queues: 0, notUsed: [] },
  })
  expect(() => PacketQueue.open('mlx5_soft0/2')).toThrow(
    expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
  )
  expect(() => PacketQueue.open('mlx5_soft7/1')).toThrow(expect.objectContaining({ code: 'ENODEV' }))
  expect(() => PacketQueue.open('lo', { backend: 'raw_packet_qp' })).toThrow(
    expect.objectContaining({
      code: 'ENODEV',
      message: expect.stringMatching(
        /no RDMA device has a port behind "lo" \(looked at mlx5_soft\d, mlx5_soft\d\)/,
      ),
    }),
  )
  using named = PacketQueue.open('lo', {
    backend: 'raw_packet_qp',
    device: 'mlx5_soft0',
    port: 1,
    etherType: 0x88b7,
  })
  expect(named.interface.name).toBe('lo')
})

test.each<[string, object, string]>([
  ['mlx5_soft0', { backend: 'af_packet' }, 'options.backend'],
  ['mlx5_soft0', { backend: 'af_xdp' }, 'options.backend'],
  ['mlx5_soft0', { device: 'mlx5_soft1' }, 'options.device'],
  ['mlx5_soft0', { port: 0 }, 'options.port'],
  ['mlx5_soft0', { mtu: 67 }, 'options.mtu'],
  ['mlx5_soft0', { mtu: '1500' }, 'options.mtu'],
  ['mlx5_soft0', { transmitChecksum: 1 }, 'options.transmitChecksum'],
  ['mlx5_soft0', { timestamps: true }, 'options.timestamps'],
  ['mlx5_soft0', { outgoing: true }, 'options.outgoing'],
  ['mlx5_soft0', { receiveBuffer: 1e6 }, 'options.receiveBuffer'],
  ['mlx5_soft0', { sendBuffer: 1e6 }, 'options.sendBuffer'],
  ['mlx5_soft0', { receivePath: 'ring' }, 'options.receivePath'],
  ['mlx5_soft0', { queueId: 0 }, 'options.queueId'],
  ['lo', { device: 'mlx5_soft0' }, 'options.device'],
  ['lo', { transmitChecksum: true }, 'options.transmitChecksum'],
  ['lo', { backend: 'raw_packet_qp', port: 1 }, 'options.port'],
  ['lo', { backend: 'raw_packet_qp', mtu: 1500 }, 'options.mtu'],
])('%s with %o: %s is to blame, and nothing is left open', (name, options, blamed) => {
  using _ = softConnectX({ wire: 'pair' })
  const before = native.handleCount()
  expect(() => PacketQueue.open(name, options)).toThrow(
    expect.objectContaining({
      code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/),
      message: expect.stringContaining(`"${blamed}"`),
    }),
  )
  expect(native.handleCount()).toBe(before)
})

describe.each(['raw_packet_qp', 'mlx5'] as const)('%s', (backend) => {
  const open = (name: string, options?: PacketQueueOptions) => PacketQueue.open(name, { backend, ...options })
  const openWire = (options?: PacketQueueOptions) => openWireWith({ backend, ...options })
  const syscalls = {
    raw_packet_qp: { receive: 'ibv_poll_cq', transmit: 'ibv_post_send' },
    mlx5: { receive: 'ibverbs/mlx5', transmit: 'ibverbs/mlx5' },
  }[backend]

  test('refuses a flow rule that the device cannot compare, by its field, and leaves nothing open', () => {
    using _ = softConnectX({ wire: 'pair' })
    const before = native.handleCount()
    const frames = new FramePool({ frameCount: 64 })
    const bytes = [{ offset: 60, value: Uint8Array.of(1) }]
    expect(() => open('mlx5_soft0', { frames, flows: [{}, { bytes }] })).toThrow(
      expect.objectContaining({
        code: 'ENOTSUP',
        message: expect.stringContaining('"options.flows[1].bytes[0]"'),
      }),
    )
    expect(frames.free).toBe(64)
    expect(native.handleCount()).toBe(before)
  })

  describe('checksums', () => {
    test('reports those that the device verified, of UDP and TCP alone', async () => {
      using wire = openWire()
      const { a, b } = wire
      const other = frame(b, a, 64)
      for (const [bytes, flags] of [
        [datagram(b, a, true), FrameFlag.checksumValid],
        [datagram(b, a, false), 0],
        [other, 0],
      ] as const) {
        transmit(a, bytes)
        const slot = await receiveOne(b)
        expect(copy(b, slot)).toEqual(bytes)
        expect(b.flags(slot)).toBe(flags)
        expect(b.packetType(slot)).toBe(PacketType.host)
        expect(b.originalLength(slot)).toBe(64)
        b.release(slot)
      }
    })

    test('transmitChecksum: the device computes them for every frame', async () => {
      using wire = openWire({ transmitChecksum: true })
      const { a, b } = wire
      const other = frame(b, a, 64)
      transmit(a, datagram(b, a, false), other)
      expect(await collect(b, 2)).toEqual([datagram(b, a, true), other])
    })

    test('sendOffloaded: for one frame; the library computes those of other protocols', async () => {
      using wire = openWire()
      const { a, b } = wire
      const right = datagram(b, a, true)
      // The caller leaves the sum of the pseudo-header in the field, not inverted (RFC 768, linux/virtio_net.h).
      const pseudo = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 30
      const partial = Uint8Array.from(right)
      partial.set(word(pseudo), 40)
      const send = (bytes: Uint8Array, start: number, offset: number): void => {
        const slot = a.claim()
        a.memory.set(bytes, a.offset(slot))
        a.sendOffloaded(slot, bytes.length, start, offset)
      }
      send(partial, 34, 6)
      // A checksum of no known protocol, 20 bytes behind the header: the sum of all bytes after it, computed by hand.
      const odd = frame(b, a, 64)
      odd.set([0, 0], 34)
      send(odd, 14, 20)
      transmitNothing(a, 2)
      const [first, second] = await collect(b, 2)
      expect(first).toEqual(right)
      let total = 0
      for (let i = 14; i < 64; i += 2) total += (second[i] << 8) | second[i + 1]
      while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
      expect(total).toBe(0xffff)
    })
  })

  function transmitNothing(queue: PacketQueue, expected: number): void {
    expect(queue.submit()).toBe(expected)
    expect(queue.error).toBeNull()
  }

  // Where the device's own ring is written, a claim hands nothing over.
  test.runIf(backend === 'raw_packet_qp')(
    'a claim that takes frames back frees their room in the transmit ring, and an offloaded frame stays offloaded',
    async () => {
      using soft = softConnectX({ wire: 'pair' })
      using a = open('mlx5_soft0', { frameCount: 64, transmitOnly: true })
      using b = open('mlx5_soft1')
      const right = datagram(b, a, true)
      const partial = Uint8Array.from(right)
      partial.set(word(0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 30), 40)
      // The device takes the frames after a refused one at the next call, here a claim's.
      queueFrame(a, frame(b, a, 1600))
      const sent = Array.from({ length: 62 }, (_, i) => frame(b, a, 60, i))
      for (const bytes of sent) queueFrame(a, bytes)
      expect(a.submit()).toBe(0)
      expect(a.error).toMatchObject({ code: 'EMSGSIZE' })
      expect(a.pending).toBe(62)
      for (let i = 0; i < 5; i++) {
        let slot = a.claim()
        while (slot < 0) slot = a.claim()
        a.memory.set(partial, a.offset(slot))
        a.sendOffloaded(slot, partial.length, 34, 6)
      }
      expect(a.pending).toBe(5)
      expect(a.statistics()).toMatchObject({ transmitted: 62, refusals: { EMSGSIZE: 1 } })
      expect(a.submit()).toBe(67)
      expect(await collect(b, 67)).toEqual([...sent, right, right, right, right, right])
      expect(a.statistics()).toMatchObject({ transmitted: 67, refusals: { EMSGSIZE: 1 }, invalid: 0 })
      expect(soft.closed).toBe(false)
    },
  )

  describe('steering', () => {
    test('two queues of one port: the device gives each the frames of its rules', async () => {
      using soft = softConnectX({ wire: 'pair' })
      using a = open('mlx5_soft0', { transmitOnly: true })
      using low = open('mlx5_soft1', {
        flows: [{ protocol: 'udp', destinationPort: { from: 1, to: 4000 } }],
      })
      using high = open('mlx5_soft1', {
        flows: [{ protocol: 'udp', destinationPort: { from: 4001, to: 65535 } }],
      })
      const sent = [1, 3999, 4000, 4001, 4002, 65535].map((port) => datagram(low, a, true, port))
      transmit(a, ...sent)
      expect(await collect(low, 3)).toEqual(sent.slice(0, 3))
      expect(await collect(high, 3)).toEqual(sent.slice(3))
      expect(low.receive() + high.receive()).toBe(0)
      expect(soft.closed).toBe(false)
    })
  })

  describe('faults', () => {
    test('a link that goes down ends a wait; the queue works again when it is up', async () => {
      using wire = openWire()
      const { soft, a, b } = wire
      const waiting = b.wait()
      soft.setLink('mlx5_soft1', 1, false)
      await expect(waiting).rejects.toMatchObject({
        code: 'ENETDOWN',
        syscall: syscalls.receive,
        message: expect.stringContaining('the port of "mlx5_soft1/1" is down'),
      })
      expect(() => open('mlx5_soft1')).toThrow(expect.objectContaining({ code: 'ENETDOWN' }))
      expect(b.report.carrier).toBe(false)
      queueFrame(b, frame(a, b, 60, 7))
      for (let i = 0; i < 3; i++) {
        // The link's error, as long as it is down: the sent frames stay pending.
        expect(b.submit()).toBe(0)
        expect(b.error).toMatchObject({ code: 'ENETDOWN', syscall: syscalls.transmit })
      }
      expect(b.statistics()).toMatchObject({ transmitted: 0, refused: 0 })
      soft.setLink('mlx5_soft1', 1, true)
      await b.drain()
      expect(b.report.carrier).toBe(true)
      expect(await collect(a, 1)).toEqual([frame(a, b, 60, 7)])
      transmit(a, frame(b, a, 60, 3))
      expect(await collect(b, 1)).toEqual([frame(b, a, 60, 3)])
    })

    test('ends a spin', async () => {
      using wire = openWire()
      const spinning = wire.b.spin(60e6)
      wire.soft.setLink('mlx5_soft1', 1, false)
      await expect(spinning).rejects.toMatchObject({ code: 'ENETDOWN' })
    })

    test('a device that is pulled out: ENODEV from then on, and it does not turn the event loop', async () => {
      using wire = openWire()
      const { soft, a, b } = wire
      const waiting = b.wait()
      soft.close()
      // The device's requests are flushed before the event gives the reason.
      const codes: string[] = [await waiting.then(String, ({ code }) => code)]
      while (codes.at(-1) !== 'ENODEV' && codes.length < 1000) {
        await new Promise((resolve) => setImmediate(resolve))
        codes.push(await b.wait().then(String, ({ code }) => code))
      }
      expect([...new Set(codes)].filter((code) => code !== 'EIO')).toEqual(['ENODEV'])
      expect(() => b.receive()).toThrow(
        expect.objectContaining({
          message: expect.stringContaining('the RDMA device of "mlx5_soft1/1" is gone'),
        }),
      )
      await expect(b.wait()).rejects.toMatchObject({ code: 'ENODEV' })
      expect(() => b.receive()).toThrow(expect.objectContaining({ code: 'ENODEV' }))
      expect(() => a.receive()).toThrow(expect.objectContaining({ code: 'ENODEV' }))
      queueFrame(a, frame(b, a, 60))
      expect(a.submit()).toBe(0)
      expect(a.error).toMatchObject({ code: 'ENODEV', syscall: syscalls.transmit })
      await loopRests()
      a.close()
      b.close()
    })

    test.each(['submit', 'claim'] as const)(
      'frames that a failed device gives back at a %s with nothing to send count as refused',
      (way) => {
        const connected = vi.spyOn(QueuePair.prototype, 'connect')
        using soft = softConnectX({ wire: 'pair' })
        using a = open('mlx5_soft0', { frameCount: 4, batch: 1, transmitOnly: true })
        const [queuePair] = connected.mock.contexts as QueuePair[]
        queuePair.modify({ state: 'ERR' })
        connected.mockRestore()
        for (let i = 0; i < 4; i++) queueFrame(a, frame(a, a, 60, i))
        expect(a.submit()).toBe(4)
        // Who reads the device's own ring may see at once what libibverbs is asked for at the next call.
        if (backend === 'raw_packet_qp') expect(a.statistics()).toMatchObject({ transmitted: 4, refused: 0 })
        // The device flushes in a thread of its own.
        let slot = -1
        while (way === 'claim' && slot < 0) slot = a.claim()
        if (slot >= 0) a.release(slot)
        do expect(a.submit()).toBe(0)
        while (a.frames.free < 4)
        expect(a.error).toMatchObject({ code: 'EIO', message: expect.stringContaining('WR_FLUSH_ERR') })
        expect(a.statistics()).toMatchObject({ transmitted: 0, refused: 4, refusals: { EIO: 4 }, invalid: 0 })
        expect(a.frames.free).toBe(4)
        expect(soft.closed).toBe(false)
      },
    )

    test('loses frames that find no receive request, and keeps those that find one', async () => {
      using wire = openWire({ frameCount: 64, batch: 8, receiveFrames: 16 })
      const { a, b } = wire
      const sent = Array.from({ length: 24 }, (_, i) => frame(b, a, 60, i))
      transmit(a, ...sent)
      await a.drain()
      expect(await collect(b, 16)).toEqual(sent.slice(0, 16))
      transmit(a, sent[23])
      expect(await collect(b, 1)).toEqual([sent[23]])
      expect(b.statistics()).toMatchObject({ received: 17, drops: {} })
    })
  })

  test('closing a queue in traffic leaves no handle, and its frames free', async () => {
    using soft = softConnectX({ wire: 'pair' })
    const before = native.handleCount()
    const frames = new FramePool({ frameCount: 256 })
    for (let round = 0; round < 20; round++) {
      const a = open('mlx5_soft0', { frames, batch: 16, receiveFrames: 32 })
      const b = open('mlx5_soft1', { frames, batch: 16, receiveFrames: 32 })
      const waiting = b.wait()
      for (let i = 0; i < 40; i++) queueFrame(a, frame(b, a, 64, i))
      expect(a.submit()).toBe(40)
      await waiting
      a.close()
      b.close()
      expect(frames.free).toBe(256)
      expect(native.handleCount()).toBe(before)
    }
    expect(soft.closed).toBe(false)
  })
})

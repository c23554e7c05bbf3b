import { FrameFlag, FramePool, PacketQueue, PacketType } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { Random } from '../beds/random.js'
import { collect, copy, etherType, frame, on, queueFrame, receiveOne, transmit, ways } from './traffic.js'

describe.each(ways)('%s', (way) => {
  const { openWire, open, pair, xdp, raw, packet, backend, receivePath, reserve, filled, syscalls } = on(way)

  const broadcast = new Uint8Array(6).fill(0xff)

  describe('frames both ways', () => {
    test('every size from 14 to 1514 bytes, every byte', async () => {
      using wire = openWire()
      for (const [from, to] of [
        [wire.a, wire.b],
        [wire.b, wire.a],
      ]) {
        for (let first = 14; first <= 1514; first += 100) {
          const sent: Uint8Array[] = []
          for (let length = first; length < first + 100 && length <= 1514; length++) {
            sent.push(frame(to, from, length, length))
          }
          transmit(from, ...sent)
          const received = await collect(to, sent.length)
          expect(received.map((bytes) => bytes.length)).toEqual(sent.map((bytes) => bytes.length))
          expect(Buffer.compare(Buffer.concat(received), Buffer.concat(sent))).toBe(0)
        }
      }
      const [{ xdp: kernel, ...a }, { xdp: _, ...b }] = [wire.a.statistics(), wire.b.statistics()]
      expect(kernel === undefined).toBe(!xdp)
      expect(a).toEqual({
        received: 1501,
        dropped: 0,
        drops: {
          af_xdp: { receiveRingFull: 0, fillRingEmpty: 0, other: 0 },
          af_packet: { receiveRingFull: 0 },
          recvmmsg: { receiveBufferFull: 0, undescribed: 0 },
          raw_packet_qp: {},
          mlx5: {},
          striding: {},
        }[way],
        truncated: 0,
        transmitted: 1501,
        refused: 0,
        refusals: {},
        invalid: 0,
      })
      expect(b).toEqual(a)
    })

    test('jumbo frames in frames that the queue made large enough', async () => {
      using wire = openWire({ mtu: 9000 })
      expect(wire.a.frames.frameSize).toBe(16384)
      const sent = [9014, 9013, 4096, 1515, 14].map((length, i) => frame(wire.b, wire.a, length, i))
      transmit(wire.a, ...sent)
      expect(await collect(wire.b, sent.length)).toEqual(sent)
    })

    test('a frame that exceeds its place is truncated, and flagged so', async () => {
      using wire = openWire({ mtu: 9000, frameSize: 2048 })
      wire.a.close()
      using long = open(wire.veth.a, raw ? { mtu: 9000 } : {})
      const sent = frame(wire.b, long, 5000)
      transmit(long, sent)
      const slot = await receiveOne(wire.b)
      expect(wire.b.length(slot)).toBe(2048 - reserve)
      expect(wire.b.originalLength(slot)).toBe(5000)
      expect(wire.b.flags(slot) & FrameFlag.truncated).toBe(FrameFlag.truncated)
      expect(wire.b.statistics().truncated).toBe(1)
      expect(copy(wire.b, slot)).toEqual(sent.subarray(0, 2048 - reserve))
    })

    test('one frame, a batch and more than a batch at once', async () => {
      using wire = openWire({ batch: 8 })
      for (const count of [1, 8, 9, 100]) {
        const sent = Array.from({ length: count }, (_, i) => frame(wire.b, wire.a, 64, i))
        transmit(wire.a, ...sent)
        expect(await collect(wire.b, count)).toEqual(sent)
      }
    })

    test('receive takes at most `batch` frames, and the rest later', async () => {
      using wire = openWire({ batch: 4 })
      transmit(wire.a, ...Array.from({ length: 6 }, (_, i) => frame(wire.b, wire.a, 60, i)))
      expect(await wire.b.wait()).toBe(4)
      expect(wire.b.receive()).toBe(4)
      expect(wire.b.receive()).toBe(2)
      expect(wire.b.receive()).toBe(0)
    })
  })

  describe('slots in use', () => {
    test('30 000 frames through 64 slots', async () => {
      using wire = openWire({ frameCount: 64, batch: 16 })
      // Shared buffers go back as a whole: two of the four at the device may be used in part.
      const some = way === 'striding' ? 15 : 30
      for (let round = 0; round < 30_000 / some; round++) {
        const sent = Array.from({ length: some }, (_, i) => frame(wire.b, wire.a, 60 + i, round * some + i))
        transmit(wire.a, ...sent)
        const received = await collect(wire.b, some)
        expect(Buffer.compare(Buffer.concat(received), Buffer.concat(sent))).toBe(0)
      }
      expect(wire.a.statistics().transmitted).toBe(30_000)
      expect(wire.b.statistics()).toMatchObject({ received: 30_000, dropped: 0, invalid: 0 })
      // Takes back the frames that the device is done with.
      expect(wire.a.submit()).toBe(0)
      expect(wire.a.frames.free).toBe(64 - filled(wire.a))
      expect(wire.b.receive()).toBe(0)
      expect(wire.b.frames.free).toBe(64 - filled(wire.b))
    })

    test('a held frame stays unchanged while others come and go', async () => {
      using wire = openWire({ frameCount: 16, batch: 4 })
      const kept = frame(wire.b, wire.a, 200, 77)
      transmit(wire.a, kept)
      const slot = await receiveOne(wire.b)
      for (let i = 0; i < 100; i++) {
        transmit(wire.a, frame(wire.b, wire.a, 300, i))
        await collect(wire.b, 1)
      }
      expect(copy(wire.b, slot)).toEqual(kept)
      wire.b.release(slot)
    })

    test('forward sends the same buffer out again', async () => {
      using wire = openWire()
      const sent = frame(broadcast, wire.a, 500, 5)
      transmit(wire.a, sent)
      const slot = await receiveOne(wire.b)
      const offset = wire.b.offset(slot)
      wire.b.memory[offset + 100] ^= 1
      wire.b.forward(slot)
      expect(wire.b.pending).toBe(1)
      expect(wire.b.submit()).toBe(1)
      expect(wire.b.pending).toBe(0)
      const expected = Uint8Array.from(sent)
      expected[100] ^= 1
      expect(await collect(wire.a, 1)).toEqual([expected])
    })

    test('queues that share a pool forward to one another', async () => {
      using left = pair()
      using right = pair()
      const frames = new FramePool({ frameCount: 1024 })
      using source = open(left.a)
      using middleIn = open(left.b, { frames, batch: 8, receiveFrames: 256 })
      using middleOut = open(right.a, { frames, batch: 8, receiveFrames: 256 })
      using sink = open(right.b, { promiscuous: true })
      expect(frames.free).toBe(512)
      const sent = Array.from({ length: 200 }, (_, i) => frame(middleIn, source, 64 + i, i))
      transmit(source, ...sent)
      let forwarded = 0
      while (forwarded < sent.length) {
        await middleIn.wait({ signal: AbortSignal.timeout(limit) })
        const n = middleIn.receive()
        for (let i = 0; i < n; i++) middleOut.forward(middleIn.slot(i))
        expect(middleOut.submit()).toBe(n)
        forwarded += n
      }
      expect(await collect(sink, sent.length)).toEqual(sent)
      middleIn.close()
      middleOut.close()
      expect(frames.free).toBe(1024)
    })

    test('headroom: a header is pushed before a received frame without a copy', async () => {
      using wire = openWire({ headroom: 64 })
      const sent = frame(wire.b, wire.a, 100, 3)
      transmit(wire.a, sent)
      const slot = await receiveOne(wire.b)
      const offset = wire.b.offset(slot)
      expect(offset % 2048).toBe(Math.max(64, reserve))
      const outer = frame(wire.a, wire.b, 22)
      wire.b.memory.set(outer, offset - 22)
      wire.b.send(slot, 122, offset - 22)
      expect(wire.b.submit()).toBe(1)
      expect(await collect(wire.a, 1)).toEqual([Uint8Array.of(...outer, ...sent)])
    })
  })

  describe('a received frame’s metadata', () => {
    test('its packet type', async () => {
      using wire = openWire({ promiscuous: true, multicast: 'all' })
      const targets: [Uint8Array, number][] = [
        [wire.b.interface.macBytes, PacketType.host],
        [broadcast, PacketType.broadcast],
        [Uint8Array.of(1, 0, 0x5e, 0, 0, 1), PacketType.multicast],
        [Uint8Array.of(2, 0, 0, 0, 0, 9), PacketType.otherHost],
      ]
      for (const [to, type] of targets) {
        transmit(wire.a, frame(to, wire.a, 60))
        const slot = await receiveOne(wire.b)
        expect(wire.b.packetType(slot)).toBe(type)
        wire.b.release(slot)
      }
    })

    test('the VLAN tag that the kernel stripped', async () => {
      using wire = openWire()
      const plain = frame(wire.b, wire.a, 100, 1)
      const tag = Uint8Array.of(0x81, 0x00, 0xa0, 0x7b)
      transmit(wire.a, Uint8Array.of(...plain.subarray(0, 12), ...tag, ...plain.subarray(12)))
      const slot = await receiveOne(wire.b)
      // XDP sees the frame before the kernel strips the tag, and a raw packet queue pair leaves it in.
      expect(wire.b.vlan(slot)).toBe(packet ? 0x8100a07b : 0)
      expect(copy(wire.b, slot)).toEqual(
        !packet ? Uint8Array.of(...plain.subarray(0, 12), ...tag, ...plain.subarray(12)) : plain,
      )
      wire.b.release(slot)
      transmit(wire.a, plain)
      expect(wire.b.vlan(await receiveOne(wire.b))).toBe(0)
    })

    if (packet) {
      test('its arrival time, if asked for', async () => {
        using wire = openWire({ timestamps: true })
        const before = Date.now()
        transmit(wire.a, frame(wire.b, wire.a, 60))
        const slot = await receiveOne(wire.b)
        const time = wire.b.seconds(slot) * 1000 + wire.b.nanoseconds(slot) / 1e6
        expect(time).toBeGreaterThanOrEqual(before - 1)
        expect(time).toBeLessThanOrEqual(Date.now() + 1)
        using plain = PacketQueue.open(wire.veth.a)
        transmit(wire.b, frame(plain, wire.b, 60))
        expect(plain.seconds(await receiveOne(plain))).toBe(0)
      })
    }

    test('only the EtherType asked for', async () => {
      using wire = openWire()
      wire.b.close()
      using picky = open(wire.veth.b, { etherType })
      // Beside AF_XDP a packet socket gets the frames that AF_XDP leaves to the kernel.
      using beside = raw ? undefined : PacketQueue.open(wire.veth.b)
      const other = frame(wire.b, wire.a, 60, 1)
      other[13] ^= 1
      const wanted = frame(wire.b, wire.a, 60, 2)
      transmit(wire.a, other, wanted)
      expect(await collect(picky, 1)).toEqual([wanted])
      if (beside) expect(await collect(beside, xdp ? 1 : 2)).toEqual(xdp ? [other] : [other, wanted])
      expect(picky.receive()).toBe(0)
    })

    if (packet) {
      test('no outgoing frames, unless asked for; and never its own', async () => {
        using wire = openWire()
        using watcher = PacketQueue.open(wire.veth.a, { outgoing: true })
        const sent = frame(wire.b, wire.a, 60)
        transmit(wire.a, sent)
        const slot = await receiveOne(watcher)
        expect(watcher.packetType(slot)).toBe(PacketType.outgoing)
        expect(copy(watcher, slot)).toEqual(sent)
        expect(wire.a.receive()).toBe(0)
        transmit(watcher, sent)
        expect(watcher.receive()).toBe(0)
        await collect(wire.b, 2)
        expect(wire.a.receive()).toBe(0)
        expect(watcher.receive()).toBe(0)
      })
    }
  })

  test('random work on a small pool: each frame is transmitted, refused or pending at every moment, and arrives once', async () => {
    const random = new Random(11)
    using veth = pair()
    using a = open(veth.a, { frameCount: 64, batch: 8, transmitOnly: true })
    using b = open(veth.b)
    const { memory } = a
    const held: number[] = []
    const good: Uint8Array[] = []
    const came: Uint8Array[] = []
    let sent = 0
    let accepted = 0
    const take = (): void => {
      for (let n = b.receive(); n > 0; n = b.receive()) {
        for (let i = 0; i < n; i++) {
          came.push(copy(b, b.slot(i)).subarray(0, 60))
          b.release(b.slot(i))
        }
      }
    }
    const send = (slot: number): void => {
      const tooLong = random.chance(0.05)
      const bytes = frame(b, a, 60, sent++)
      bytes.set([sent >> 8, sent & 0xff], 14)
      memory.set(bytes, a.offset(slot))
      if (tooLong) a.send(slot, random.integer(1519, 2000))
      else if (random.chance(0.2)) a.sendOffloaded(slot, random.integer(60, 1514), 56, 2)
      else a.send(slot, random.integer(60, 1514))
      if (!tooLong) good.push(bytes)
    }
    for (let step = 0; step < 3000; step++) {
      const kind = random.below(10)
      if (kind < 6) {
        const slot = a.claim()
        if (slot >= 0) held.push(slot)
      }
      if (kind < 5 && held.length > 0) send(held.splice(random.below(held.length), 1)[0])
      else if (kind === 6 && held.length > 0) a.release(held.pop() as number)
      else if (kind === 7 && random.chance(0.4)) accepted += a.submit()
      else if (kind === 8) take()
      const { transmitted, refused, invalid } = a.statistics()
      expect([transmitted + refused + a.pending, invalid]).toEqual([sent, 0])
      // Gives the device a turn.
      if (step % 200 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    for (const slot of held) a.release(slot)
    const deadline = performance.now() + limit
    while ((came.length < good.length || a.frames.free < 64) && performance.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve))
      accepted += a.submit()
      take()
    }
    expect(a.frames.free).toBe(64)
    expect(a.statistics()).toMatchObject({
      transmitted: accepted,
      refused: sent - accepted,
      refusals: { EMSGSIZE: sent - accepted },
    })
    // sendOffloaded() writes its checksum to bytes 58 and 59.
    const text = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 58)).toString('hex')
    expect(came.map(text)).toEqual(good.map(text))
  })

  test('a queue that only transmits holds no frames and receives none', async () => {
    using wire = openWire()
    wire.a.close()
    using sender = open(wire.veth.a, { transmitOnly: true, frameCount: 4 })
    expect(sender.frames.free).toBe(4)
    transmit(sender, frame(wire.b, sender, 60))
    transmit(wire.b, frame(sender, wire.b, 60))
    await collect(wire.b, 1)
    expect(sender.receive()).toBe(0)
    await expect(sender.wait()).rejects.toMatchObject({ code: 'ENOTSUP', syscall: syscalls.receive })
  })

  test('its properties', () => {
    using wire = openWire()
    expect(wire.a.backend).toBe(backend)
    expect(wire.a.report).toMatchObject({ backend, receivePath })
    expect(wire.a.zeroCopy).toBe(raw)
    expect(wire.a.memory.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(wire.a.memory.length).toBe(4096 * 2048)
    expect(wire.a.interface).toMatchObject({ name: wire.veth.a, mtu: 1500, up: true, running: true, type: 1 })
    queueFrame(wire.a, frame(wire.b, wire.a, 60))
    expect(wire.b.frames.free).toBe(4096 - filled(wire.b))
  })

  test('kernel buffers', () => {
    using veth = pair()
    const send = raw ? {} : { sendBuffer: 32768 }
    using small = open(veth.a, packet ? { receiveBuffer: 65536, ...send } : send)
    const places = 2048 * 2048
    const receive = {
      af_xdp: places,
      af_packet: 65536,
      recvmmsg: 131072,
      raw_packet_qp: places,
      mlx5: places,
      striding: places,
    }[way]
    expect(small.bufferSizes).toEqual({ receive, send: raw ? 1024 * 2048 : 65536 })
    using standard = open(veth.b)
    // 32 MiB, or what net.core.rmem_max allows without CAP_NET_ADMIN over the machine; more than the system's default
    expect(standard.bufferSizes.receive).toBeGreaterThan(212_992)
  })
})

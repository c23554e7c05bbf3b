/** Frames over AF_XDP: which it takes and leaves, jumbo frames, and the kernel's counters. */

import { PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { vethPair } from '../beds/veth.js'
import { collect, copy, frame, on, queueFrame, transmit } from './traffic.js'

const { open, openWire } = on('af_xdp')

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

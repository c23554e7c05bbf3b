/**
 * Work that the kernel leaves to the device: partial checksums and stripped VLAN tags. The tests check that it is
 * reported, undone, and completed on the way out. The traffic is the kernel's own; a TAP device shows the bytes, and
 * tshark judges them.
 */

import { createSocket } from 'node:dgram'
import { FrameFlag, FramePool, PacketQueue, SegmentType } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { ip, vethPair } from '../beds/veth.js'
import { datagram, good, paths } from './offload.js'
import { dissect, openTap } from './tap.js'
import { backends, copy, queueFrame, receiveOne } from './traffic.js'

const ipv4 = 0x0800

/** Sends bytes by the kernel's UDP to an address behind `device`, whose neighbour has `mac`. */
async function sendUdp(device: string, mac: string, bytes: Uint8Array): Promise<void> {
  ip('addr', 'add', '10.9.0.1/24', 'dev', device)
  ip('neigh', 'add', '10.9.0.2', 'lladdr', mac, 'nud', 'permanent', 'dev', device)
  const socket = createSocket('udp4')
  await new Promise<void>((resolve, reject) =>
    socket.send(bytes, 4000, '10.9.0.2', (error) => (error ? reject(error) : resolve())),
  )
  socket.close()
}

test.each(paths)(
  '%s: a partial checksum is told, and completed here and by the kernel alike',
  async (receivePath) => {
    using veth = vethPair()
    await using tap = await openTap()
    const frames = new FramePool({ frameCount: 256 })
    using queue = PacketQueue.open(veth.b, { receivePath, frames, etherType: ipv4 })
    using out = PacketQueue.open(tap.name, { frames, transmitOnly: true })
    const payload = Uint8Array.from({ length: 333 }, (_, i) => i * 3)
    await sendUdp(veth.a, queue.interface.mac, payload)
    const slot = await receiveOne(queue)
    expect(queue.length(slot)).toBe(14 + 20 + 8 + 333)
    expect(queue.flags(slot)).toBe(FrameFlag.checksumPartial)
    expect([queue.checksumStart(slot), queue.checksumOffset(slot)]).toEqual([34, 6])
    expect([queue.segmentType(slot), queue.segmentSize(slot), queue.vlan(slot)]).toEqual([0, 0, 0])
    const partial = copy(queue, slot)
    expect(partial.subarray(42)).toEqual(payload)
    expect(dissect([partial], 'udp.checksum.status')[0][0]).not.toBe(good)

    // Sends the same frame in three ways: as it lies in memory, completed by the kernel, and completed by the library.
    queueFrame(out, partial)
    out.forward(slot)
    expect(out.submit()).toBe(2)
    const [asItLay, byKernel] = await tap.take(2)
    expect(asItLay).toEqual(partial)
    expect(dissect([byKernel], 'udp.checksum.status', 'udp.dstport')).toEqual([[good, '4000']])

    const again = out.claim()
    out.memory.set(partial, out.offset(again))
    out.sendOffloaded(again, partial.length, 34, 6)
    expect(out.submit()).toBe(1)
    expect(await tap.take(1)).toEqual([byKernel])

    ip('addr', 'flush', 'dev', veth.a)
    await sendUdp(veth.a, queue.interface.mac, payload)
    const second = await receiveOne(queue)
    expect(queue.completeChecksum(second)).toBe(true)
    expect(queue.flags(second)).toBe(0)
    expect(queue.completeChecksum(second)).toBe(false)
    const completed = copy(queue, second)
    expect(dissect([completed], 'udp.checksum.status')).toEqual([[good]])
    // Another IP identification and source port; the rest is as the kernel completed it.
    expect(completed.subarray(42)).toEqual(byKernel.subarray(42))
  },
)

test('a checksum whose sum is 0 is sent as 0xffff', async () => {
  await using tap = await openTap()
  using out = PacketQueue.open(tap.name, { transmitOnly: true })
  const frame = datagram(new Uint8Array(6).fill(2), new Uint8Array(6).fill(4), 4)
  // With the checksum as payload, the sum over all is 0xffff.
  frame.fill(0, 42)
  const slot = out.claim()
  out.memory.set(frame, out.offset(slot))
  out.sendOffloaded(slot, frame.length, 34, 6)
  out.submit()
  const [first] = await tap.take(1)
  frame.set([first[40], first[41]], 42)
  queueFrame(out, frame)
  const last = out.claim()
  out.memory.set(frame, out.offset(last))
  out.sendOffloaded(last, frame.length, 34, 6)
  out.submit()
  const [, zero] = await tap.take(2)
  expect([zero[40], zero[41]]).toEqual([0xff, 0xff])
  expect(dissect([first, zero], 'udp.checksum.status')).toEqual([[good], [good]])
})

test.each(paths.flatMap((path) => [0, 64].map((headroom) => [path, headroom] as const)))(
  '%s: a VLAN tag goes back into the frame, with %d bytes of headroom',
  async (receivePath, headroom) => {
    using veth = vethPair()
    await using tap = await openTap()
    const frames = new FramePool({ frameCount: 256, headroom })
    using a = PacketQueue.open(veth.a, { receivePath, promiscuous: true })
    using b = PacketQueue.open(veth.b, { receivePath, frames })
    using out = PacketQueue.open(tap.name, { frames, transmitOnly: true })
    const tag = [0x81, 0, 0x60, 0x2a] as const
    const plain = datagram(b.interface.macBytes, a.interface.macBytes, 100)
    const tagged = datagram(b.interface.macBytes, a.interface.macBytes, 100, tag)

    // Also with a partial checksum: its place moves with the tag.
    for (const finished of [false, true]) {
      const slot = a.claim()
      a.memory.set(tagged, a.offset(slot))
      a.sendOffloaded(slot, tagged.length, 38, 6)
      expect(a.submit()).toBe(1)
      const received = await receiveOne(b)
      expect(copy(b, received)).toEqual(plain)
      expect(b.vlan(received)).toBe(0x8100602a)
      expect(b.flags(received)).toBe(FrameFlag.checksumPartial)
      expect([b.checksumStart(received), b.checksumOffset(received)]).toEqual([34, 6])
      if (finished) {
        const before = b.offset(received)
        expect(b.restoreVlan(received)).toBe(true)
        expect(b.restoreVlan(received)).toBe(false)
        expect(b.offset(received)).toBe(before - (headroom > 0 ? 4 : 0))
        expect(b.vlan(received)).toBe(0)
        expect(b.originalLength(received)).toBe(tagged.length)
        expect(copy(b, received)).toEqual(tagged)
        expect([b.checksumStart(received), b.checksumOffset(received)]).toEqual([38, 6])
        expect(b.completeChecksum(received)).toBe(true)
        expect(dissect([copy(b, received)], 'udp.checksum.status', 'vlan.id')).toEqual([[good, '42']])
      }
      out.forward(received)
      expect(out.submit()).toBe(1)
    }
    const [byKernel, here] = await tap.take(2)
    expect(byKernel).toEqual(here)
    expect(byKernel.subarray(12, 16)).toEqual(Uint8Array.from(tag))
    expect(dissect([byKernel], 'udp.checksum.status', 'vlan.id', 'vlan.priority')).toEqual([
      [good, '42', '3'],
    ])

    // And to another packet socket, which sees the tag stripped again.
    queueFrame(a, tagged)
    a.submit()
    const back = await receiveOne(b)
    b.forward(back)
    expect(b.submit()).toBe(1)
    const there = await receiveOne(a)
    expect([a.vlan(there), a.length(there)]).toEqual([0x8100602a, plain.length])
  },
)

if (backends.includes('af_xdp')) {
  test('AF_XDP sends a tag and a checksum that the kernel left out, and no super-frame', async () => {
    using near = vethPair()
    using far = vethPair()
    const frames = new FramePool({ frameCount: 256, frameSize: 4096 })
    using a = PacketQueue.open(near.a)
    using b = PacketQueue.open(near.b, { frames, batch: 32 })
    using out = PacketQueue.open(far.a, { backend: 'af_xdp', frames, batch: 32, receiveFrames: 64 })
    using sink = PacketQueue.open(far.b, { promiscuous: true })
    const [to, from] = [b.interface.macBytes, a.interface.macBytes]
    const tagged = datagram(to, from, 100, [0x81, 0, 0x60, 0x2a])
    const slot = a.claim()
    a.memory.set(tagged, a.offset(slot))
    a.sendOffloaded(slot, tagged.length, 38, 6)
    a.submit()
    out.forward(await receiveOne(b))
    expect(out.submit()).toBe(1)
    const there = await receiveOne(sink)
    expect([sink.vlan(there), sink.flags(there)]).toEqual([0x8100602a, 0])
    expect(sink.restoreVlan(there)).toBe(true)
    const bytes = copy(sink, there)
    expect(bytes.length).toBe(tagged.length)
    expect(dissect([bytes], 'udp.checksum.status', 'vlan.id')).toEqual([[good, '42']])

    const superFrame = datagram(to, from, 2000)
    const large = out.claim()
    out.memory.set(superFrame, out.offset(large))
    out.sendOffloaded(large, superFrame.length, 34, 6, SegmentType.udp, 1000)
    expect(out.submit()).toBe(0)
    expect(out.error).toMatchObject({ code: 'EMSGSIZE' })
    expect(out.statistics().refusals).toEqual({ EMSGSIZE: 1 })
  })
}

test('no room for a tag: refused, and the frame stays as it was', async () => {
  using veth = vethPair()
  using a = PacketQueue.open(veth.a)
  using b = PacketQueue.open(veth.b, { frameSize: 256 })
  queueFrame(a, datagram(b.interface.macBytes, a.interface.macBytes, 256 - 42, [0x81, 0, 0, 5]))
  a.submit()
  const slot = await receiveOne(b)
  const before = copy(b, slot)
  expect(before.length).toBe(256)
  expect(() => b.restoreVlan(slot)).toThrow(
    expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('headroom') }),
  )
  expect(copy(b, slot)).toEqual(before)
  expect(b.vlan(slot)).toBe(0x81000005)
})

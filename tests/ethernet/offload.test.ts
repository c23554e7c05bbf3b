/**
 * Work that the kernel leaves to the device: partial checksums, stripped VLAN tags, super-frames. The tests check that
 * it is reported, undone, and completed on the way out. The traffic is the kernel's own; a TAP device shows the bytes,
 * and tshark judges them.
 */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { FrameFlag, FramePool, PacketQueue, SegmentType } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { execFileSync, spawn } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { ip, vethPair } from '../beds/veth.js'
import { programPath } from './program.js'
import { dissect, openTap } from './tap.js'
import { backends, collect, copy, queueFrame, receiveOne, ways } from './traffic.js'

const paths = ways
  .filter((way) => way === 'af_packet' || way === 'recvmmsg')
  .map((way) => (way === 'recvmmsg' ? way : ('ring' as const)))
const ipv4 = 0x0800
const good = '1'

/** An Ethernet frame with a UDP datagram, whose checksum is the pseudo-header's sum; with a tag it is the inner frame. */
function datagram(
  to: Uint8Array,
  from: Uint8Array,
  payload: number,
  tag: readonly number[] = [],
): Uint8Array {
  const length = 8 + payload
  const frame = Uint8Array.of(
    ...[...to, ...from, ...tag, 8, 0],
    ...[
      0x45,
      0,
      (20 + length) >> 8,
      (20 + length) & 0xff,
      0,
      1,
      0,
      0,
      64,
      17,
      0,
      0,
      10,
      9,
      0,
      2,
      10,
      9,
      0,
      1,
    ],
    ...[0x30, 0x39, 0xd4, 0x31, length >> 8, length & 0xff, 0, 0],
    ...Array.from({ length: payload }, (_, i) => (i * 7) & 0xff),
  )
  const at = 14 + tag.length
  const put = (place: number, sum: number): void => {
    frame[place] = sum >> 8
    frame[place + 1] = sum & 0xff
  }
  const add = (begin: number, end: number, first: number): number => {
    let sum = first
    for (let i = begin; i < end; i += 2) sum += (frame[i] << 8) | frame[i + 1]
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
    return sum
  }
  put(at + 10, ~add(at, at + 20, 0) & 0xffff)
  put(at + 26, add(at + 12, at + 20, 17 + length))
  return frame
}

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

test.each(paths)(
  '%s: a datagram of several segments goes out and comes in whole, and a wire gets it cut',
  async (receivePath) => {
    using veth = vethPair()
    await using tap = await openTap()
    const frames = new FramePool({ frameCount: 64, frameSize: 65536 })
    using a = PacketQueue.open(veth.a, { frames, batch: 8 })
    using b = PacketQueue.open(veth.b, { frames, receivePath, batch: 8 })
    using out = PacketQueue.open(tap.name, { frames, transmitOnly: true })
    const whole = datagram(b.interface.macBytes, a.interface.macBytes, 5 * 1000 + 123)
    const slot = a.claim()
    a.memory.set(whole, a.offset(slot))
    a.sendOffloaded(slot, whole.length, 34, 6, SegmentType.udp, 1000)
    expect(a.submit()).toBe(1)
    const received = await receiveOne(b)
    expect(b.length(received)).toBe(whole.length)
    expect([b.segmentType(received), b.segmentSize(received)]).toEqual([SegmentType.udp, 1000])
    expect(b.flags(received)).toBe(FrameFlag.checksumPartial)
    // Longer than a slot of the ring: the frame still comes whole, and in its order among the others.
    expect(copy(b, received)).toEqual(whole)
    out.forward(received)
    expect(out.submit()).toBe(1)
    const cut = await tap.take(6)
    expect(dissect(cut, 'udp.checksum.status', 'udp.length')).toEqual([
      ...Array.from({ length: 5 }, () => [good, '1008']),
      [good, '131'],
    ])
    expect(Buffer.concat(cut.map((frame) => frame.subarray(42)))).toEqual(Buffer.from(whole.subarray(42)))
  },
)

test.each(paths)('%s: a tagged frame of full length, and a tagged super-frame', async (receivePath) => {
  using veth = vethPair()
  await using tap = await openTap()
  const frames = new FramePool({ frameCount: 64, frameSize: 16384 })
  using a = PacketQueue.open(veth.a, { frames, batch: 8 })
  using b = PacketQueue.open(veth.b, { frames, receivePath, batch: 8 })
  using out = PacketQueue.open(tap.name, { frames, transmitOnly: true })
  const tag = [0x81, 0, 0, 7]
  const [to, from] = [b.interface.macBytes, a.interface.macBytes]
  const full = datagram(to, from, 1472, tag)
  expect(full.length).toBe(1518)
  queueFrame(a, full)
  const whole = datagram(to, from, 3000, tag)
  const slot = a.claim()
  a.memory.set(whole, a.offset(slot))
  a.sendOffloaded(slot, whole.length, 38, 6, SegmentType.udp, 1400)
  expect(a.submit()).toBe(2)
  const received: number[] = []
  while (received.length < 2) {
    await b.wait({ signal: AbortSignal.timeout(limit) })
    const n = b.receive()
    for (let i = 0; i < n; i++) received.push(b.slot(i))
  }
  expect(received.map((slot) => [b.vlan(slot), b.length(slot), b.segmentSize(slot)])).toEqual([
    [0x81000007, 1514, 0],
    [0x81000007, whole.length - 4, 1400],
  ])
  for (const slot of received) out.forward(slot)
  expect(out.submit()).toBe(2)
  const [first, ...cut] = await tap.take(4)
  expect(first).toEqual(full)
  expect(dissect(cut, 'vlan.id', 'udp.checksum.status', 'udp.length')).toEqual([
    ['7', good, '1408'],
    ['7', good, '1408'],
    ['7', good, '208'],
  ])
})

test('frames longer than a slot of the ring keep their place among the others', async () => {
  using veth = vethPair()
  const frames = new FramePool({ frameCount: 64, frameSize: 16384 })
  using a = PacketQueue.open(veth.a, { frames, batch: 8 })
  using b = PacketQueue.open(veth.b, { frameSize: 16384, batch: 8, frameCount: 64 })
  const sent: Uint8Array[] = []
  for (let i = 0; i < 30; i++) {
    const payload = i % 3 === 1 ? 4000 + i : 20 + i
    const whole = datagram(b.interface.macBytes, a.interface.macBytes, payload)
    sent.push(whole)
    if (payload < 1000) {
      queueFrame(a, whole)
      continue
    }
    const slot = a.claim()
    a.memory.set(whole, a.offset(slot))
    a.sendOffloaded(slot, whole.length, 34, 6, SegmentType.udp, 1000)
  }
  expect(a.submit()).toBe(30)
  expect(await collect(b, 30)).toEqual(sent)
  expect(b.statistics()).toMatchObject({ received: 30, dropped: 0, truncated: 0 })
})

test('truncates a frame that exceeds its place, and leaves its checksum alone', async () => {
  using veth = vethPair()
  const frames = new FramePool({ frameCount: 64, frameSize: 16384 })
  using a = PacketQueue.open(veth.a, { frames, batch: 8 })
  using b = PacketQueue.open(veth.b)
  const whole = datagram(b.interface.macBytes, a.interface.macBytes, 4000)
  const slot = a.claim()
  a.memory.set(whole, a.offset(slot))
  a.sendOffloaded(slot, whole.length, 34, 6, SegmentType.udp, 1000)
  a.submit()
  const received = await receiveOne(b)
  expect([b.length(received), b.originalLength(received)]).toEqual([2048, whole.length])
  expect(b.flags(received)).toBe(FrameFlag.checksumPartial | FrameFlag.truncated)
  expect(copy(b, received)).toEqual(whole.subarray(0, 2048))
  expect(() => b.completeChecksum(received)).toThrow(
    expect.objectContaining({ code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining('2048 of 4042') }),
  )
  b.forward(received)
  expect(b.submit()).toBe(0)
  expect(b.error).toMatchObject({ code: 'EMSGSIZE' })
  expect(b.statistics()).toMatchObject({ truncated: 1, refusals: { EMSGSIZE: 1 } })
})

/** A network namespace with one end of a veth pair and the kernel's stack behind it. */
async function host(device: string, address: string) {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  const inside = (...words: string[]): string[] => ['-t', String(holder.pid), '-n', ...words]
  const run = (...words: string[]): string =>
    execFileSync('nsenter', inside(...words), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  ip('link', 'set', device, 'netns', String(holder.pid))
  run('ip', 'addr', 'add', address, 'dev', device)
  run('ip', 'link', 'set', device, 'up')
  return {
    /** Runs tcp.mjs in it: its lines. */
    tcp(...words: string[]) {
      const child = spawn('nsenter', inside(process.execPath, programPath('tcp.mjs'), ...words), {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const lines: string[] = []
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          lines.push(text.slice(0, end))
          text = text.slice(end + 1)
        }
        child.emit('line')
      })
      return {
        async line(): Promise<string> {
          while (lines.length === 0) await once(child, 'line', { signal: AbortSignal.timeout(limit) })
          return lines.shift()!
        },
      }
    },
    async [Symbol.asyncDispose]() {
      holder.stdin.end()
      await once(holder, 'exit')
    },
  }
}

test.each(paths)(
  '%s: TCP between two hosts through a forwarder, super-frames and all',
  async (receivePath) => {
    using left = vethPair()
    using right = vethPair()
    await using x = await host(left.a, '10.9.0.1/24')
    await using y = await host(right.a, '10.9.0.2/24')
    await using tap = await openTap()
    // 64 KiB of payload and its headers
    const frames = new FramePool({ frameCount: 512, frameSize: 131072 })
    const options = { frames, receivePath, promiscuous: true, batch: 32 }
    using west = PacketQueue.open(left.b, options)
    using east = PacketQueue.open(right.b, options)
    using out = PacketQueue.open(tap.name, { frames, transmitOnly: true })
    const controller = new AbortController()
    const seen = { partial: 0, segments: 0, longest: 0 }
    let sample: { whole: Uint8Array; size: number } | undefined
    const errors: unknown[] = []
    const forward = async (from: PacketQueue, to: PacketQueue): Promise<void> => {
      try {
        for await (const n of from.batches({ signal: controller.signal })) {
          for (let i = 0; i < n; i++) {
            const slot = from.slot(i)
            if (from.flags(slot) & FrameFlag.checksumPartial) seen.partial++
            if (from.flags(slot) & FrameFlag.truncated) throw new Error('truncated')
            if (from.segmentType(slot) === SegmentType.tcp4) {
              seen.segments++
              seen.longest = Math.max(seen.longest, from.length(slot))
              if (!sample && from.length(slot) > 20_000) {
                sample = { whole: copy(from, slot), size: from.segmentSize(slot) }
                const twin = out.claim()
                out.memory.set(sample.whole, out.offset(twin))
                out.sendOffloaded(twin, sample.whole.length, 34, 16, SegmentType.tcp4, sample.size)
                out.submit()
              }
            }
            to.forward(slot)
          }
          to.submit()
          if (to.error) throw to.error
          if (to.pending > 0) await to.drain()
        }
      } catch (error) {
        if (!controller.signal.aborted) errors.push(error)
      }
    }
    const forwarding = [forward(west, east), forward(east, west)]
    const server = y.tcp('receive', '5000')
    expect(await server.line()).toBe('ready')
    const client = x.tcp('send', '10.9.0.2', '5000', String(8 << 20))
    const [sentHash, receivedHash] = [await client.line(), await server.line()]
    controller.abort()
    await Promise.all(forwarding)
    expect(errors).toEqual([])
    expect(receivedHash).toBe(sentHash)
    expect(seen.partial).toBeGreaterThan(0)
    expect(seen.segments).toBeGreaterThan(0)
    expect(seen.longest).toBeGreaterThan(20_000)
    expect(west.statistics()).toMatchObject({ refused: 0, invalid: 0, truncated: 0 })
    expect(east.statistics()).toMatchObject({ refused: 0, invalid: 0, truncated: 0 })

    // One of them as a wire gets it: in segments of the reported size, each with a good checksum.
    const { whole, size } = sample!
    const headers = 14 + 20 + (whole[46] >> 4) * 4
    const segments = Math.ceil((whole.length - headers) / size)
    const cut = await tap.take(segments)
    for (const [ipStatus, status, length] of dissect(
      cut,
      'ip.checksum.status',
      'tcp.checksum.status',
      'tcp.len',
    )) {
      expect([ipStatus, status]).toEqual([good, good])
      expect(Number(length)).toBeLessThanOrEqual(size)
    }
    expect(Buffer.concat(cut.map((frame) => frame.subarray(headers)))).toEqual(
      Buffer.from(whole.subarray(headers)),
    )
    // And completed by the library, as one packet.
    expect(dissect([whole], 'tcp.checksum.status')[0][0]).not.toBe(good)
  },
  60_000,
)

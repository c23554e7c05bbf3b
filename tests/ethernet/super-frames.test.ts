/**
 * Super-frames, which the kernel leaves to the device to cut into segments: they come in and go out whole, and a wire
 * gets them cut. A TAP device shows the bytes, and tshark judges them.
 */

import { once } from 'node:events'
import { FrameFlag, FramePool, PacketQueue, SegmentType } from 'ibverbs/ethernet'
import { expect, test } from 'vitest'
import { execFileSync, spawn } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { ip, vethPair } from '../beds/veth.js'
import { datagram, good, paths } from './offload.js'
import { programPath } from './program.js'
import { dissect, openTap } from './tap.js'
import { collect, copy, queueFrame, receiveOne } from './traffic.js'

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

test.each(paths)('%s: a super-frame that is none is refused, and those behind it go', async (receivePath) => {
  using veth = vethPair()
  using a = PacketQueue.open(veth.a, { receivePath, batch: 8, frameCount: 64 })
  using b = PacketQueue.open(veth.b, { batch: 8, frameCount: 64 })
  const free = a.frames.free
  const [first, second] = [20, 30].map((n) => datagram(b.interface.macBytes, a.interface.macBytes, n))
  // UDP by its record, TCP by its header: the kernel finds that out after it has accepted the frame, at each new try.
  const wrong = datagram(b.interface.macBytes, a.interface.macBytes, 1472)
  wrong[14 + 9] = 6
  for (let round = 0; round < 2; round++) {
    queueFrame(a, first)
    const slot = a.claim()
    a.memory.set(wrong, a.offset(slot))
    a.sendOffloaded(slot, wrong.length, 34, 6, SegmentType.udpFragment, 8)
    queueFrame(a, second)
    expect(a.submit()).toBe(1)
    expect(a.error).toMatchObject({
      code: 'ENOMEM',
      syscall: 'sendmmsg',
      message: expect.stringContaining('a frame of 1514 bytes was refused: the kernel could not cut it'),
    })
    expect(a.pending).toBe(1)
    await a.drain()
    expect(await collect(b, 2)).toEqual([first, second])
    expect(a.frames.free).toBe(free)
    const counts = { transmitted: 2 * (round + 1), refused: round + 1, refusals: { ENOMEM: round + 1 } }
    expect(a.statistics()).toMatchObject(counts)
  }
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

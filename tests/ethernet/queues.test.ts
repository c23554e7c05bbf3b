/** Devices with several receive queues, and queues that share their frames. */
import { FramePool, PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { limit } from '../beds/limit.js'
import { awaitRunning, ip, vethPair } from '../beds/veth.js'
import { command, programPath } from './program.js'
import { collect, copy, etherType, frame, on, receiveOne, transmit } from './traffic.js'

const { open } = on('af_xdp')
const signal = (): AbortSignal => AbortSignal.timeout(limit)

/** Each of a veth's queues sends to the same queue of its peer. */
function senders(name: string, count: number): PacketQueue[] {
  return Array.from({ length: count }, (_, queueId) => open(name, { queueId, frameCount: 256 }))
}

describe('several queues of one device', () => {
  test("'all' receives the frames of every queue, each once", async () => {
    using veth = vethPair({ queues: 4 })
    using all = open(veth.a, { queueId: 'all' })
    expect(all.report).toMatchObject({ queueId: 'all', queues: 4, mode: 'native', sharedMemory: false })
    const from = senders(veth.b, 4)
    const sent = from.flatMap((queue, q) => {
      const frames = Array.from({ length: 10 }, (_, i) => frame(all, queue, 60 + q, q * 100 + i))
      transmit(queue, ...frames)
      return frames
    })
    const received = await collect(all, 40)
    const sorted = (frames: Uint8Array[]): string[] =>
      frames.map((bytes) => Buffer.from(bytes).toString('hex')).sort()
    expect(sorted(received)).toEqual(sorted(sent))
    expect(all.statistics()).toMatchObject({ received: 40, dropped: 0, invalid: 0 })
    transmit(all, frame(from[0], all, 77, 3))
    expect(await collect(from[0], 1)).toEqual([frame(from[0], all, 77, 3)])
    for (const queue of from) queue.close()
  })

  test("'all' serves the other queues during a flood on one", async () => {
    using veth = vethPair({ queues: 2 })
    using all = open(veth.a, { queueId: 'all', batch: 16, frameCount: 2048 })
    const [loud, quiet] = senders(veth.b, 2)
    for (let i = 0; i < 4; i++) {
      for (let k = 0; k < 100; k++) {
        const slot = loud.claim()
        loud.memory.set(frame(all, loud, 60, 1), loud.offset(slot))
        loud.send(slot, 60)
      }
      await loud.drain()
    }
    const word = frame(all, quiet, 90, 2)
    transmit(quiet, word)
    // A frame is in the peer's ring when its sender has it back.
    while (quiet.frames.free < 128) quiet.submit()
    let batches = 0
    let found = false
    while (!found) {
      batches++
      const n = all.receive()
      expect(n).toBeGreaterThan(0)
      for (let i = 0; i < n; i++) {
        if (all.length(all.slot(i)) === 90) found = true
        all.release(all.slot(i))
      }
    }
    expect(batches).toBeLessThanOrEqual(3)
    loud.close()
    quiet.close()
  })

  test("'all' sleeps until a frame comes on any of them, and reports a removed interface once", async () => {
    using veth = vethPair({ queues: 2 })
    using all = open(veth.a, { queueId: 'all' })
    const [first, second] = senders(veth.b, 2)
    for (const queue of [second, first, second]) {
      const waiting = all.wait({ signal: signal() })
      transmit(queue, frame(all, queue, 60, 5))
      expect(await waiting).toBe(1)
      expect(all.receive()).toBe(1)
      all.release(all.slot(0))
    }
    const waiting = all.wait({ signal: signal() })
    first.close()
    second.close()
    ip('link', 'set', veth.a, 'down')
    await expect(waiting).rejects.toMatchObject({ code: 'ENETDOWN' })
    ip('link', 'set', veth.a, 'up')
    expect(all.receive()).toBe(0)
  })

  test("'all' counts the drops of every queue", async () => {
    using veth = vethPair({ queues: 2 })
    using all = open(veth.a, { queueId: 'all', frameCount: 128, batch: 16 })
    const from = senders(veth.b, 2)
    for (const [i, queue] of from.entries()) {
      // 32 of the 64 frames to receive into belong to this queue.
      for (let k = 0; k < 40 + i; k++) transmit(queue, frame(all, queue, 60, i))
    }
    expect((await collect(all, 64)).length).toBe(64)
    expect(all.receive()).toBe(0)
    expect(all.statistics()).toMatchObject({
      received: 64,
      dropped: 17,
      drops: { fillRingEmpty: 17, receiveRingFull: 0, other: 0 },
      xdp: { dropped: 17 },
    })
    for (const queue of from) {
      const sent = frame(all, queue, 80, 4)
      transmit(queue, sent)
      expect(await collect(all, 1)).toEqual([sent])
      queue.close()
    }
  })

  test('survive a rename, then the removal of the interface, in mid-traffic', async () => {
    using veth = vethPair({ queues: 2 })
    const frames = new FramePool({ frameCount: 256 })
    const queues = [0, 1].map((queueId) => open(veth.a, { queueId, frames, receiveFrames: 64 }))
    const [peer] = senders(veth.b, 1)
    const kept = await (async () => {
      transmit(peer, frame(queues[0], peer, 60, 1))
      return receiveOne(queues[0])
    })()
    ip('link', 'set', veth.a, 'down')
    for (const queue of queues) {
      await expect(queue.wait({ signal: signal() })).rejects.toMatchObject({ code: 'ENETDOWN' })
    }
    ip('link', 'set', veth.a, 'name', 'renamed0')
    ip('link', 'set', 'renamed0', 'up')
    awaitRunning('renamed0')
    transmit(peer, frame(queues[0], peer, 60, 2))
    expect(await collect(queues[0], 1)).toEqual([frame(queues[0], peer, 60, 2)])
    expect(programId('renamed0')).toBeGreaterThan(0)
    ip('link', 'del', 'renamed0')
    for (const queue of queues) {
      await expect(queue.wait({ signal: signal() })).rejects.toMatchObject({ code: 'ENODEV' })
      expect(() => queue.receive()).toThrow(expect.objectContaining({ code: 'ENODEV' }))
      queue.close()
    }
    // The caller keeps its frames.
    expect(frames.free).toBe(255)
    expect(frames.length(kept)).toBe(60)
    frames.release(kept)
    peer.close()
  })

  test('a queue for each, with its own filter, in one program', async () => {
    using veth = vethPair({ queues: 2 })
    using any = open(veth.a, { queueId: 0 })
    const before = programId(veth.a)
    using some = open(veth.a, {
      queueId: 1,
      etherType,
      flows: [{ bytes: [{ offset: 14, value: Uint8Array.of(9) }] }],
    })
    const [first, second] = senders(veth.b, 2)
    const plain = (queue: PacketQueue, byte: number, type = etherType): Uint8Array => {
      const bytes = frame(any, queue, 60, 0)
      bytes[12] = type >> 8
      bytes[13] = type & 0xff
      bytes[14] = byte
      return bytes
    }
    transmit(first, plain(first, 1), plain(first, 9, 0x88b6))
    transmit(second, plain(second, 1), plain(second, 9, 0x88b6), plain(second, 9))
    expect(await collect(any, 2)).toEqual([plain(first, 1), plain(first, 9, 0x88b6)])
    expect(await collect(some, 1)).toEqual([plain(second, 9)])
    // A closed queue takes only its own part of the program along.
    some.close()
    transmit(second, plain(second, 9))
    transmit(first, plain(first, 3))
    expect(await collect(any, 1)).toEqual([plain(first, 3)])
    any.setPromiscuous(true)
    const stranger = frame(Uint8Array.of(2, 0, 0, 0, 0, 9), first, 60)
    transmit(first, stranger)
    expect(await collect(any, 1)).toEqual([stranger])
    expect(programId(veth.a)).toBeGreaterThan(before)
    any.close()
    expect(programId(veth.a)).toBeNaN()
    first.close()
    second.close()
  })

  test('a refused option of one leaves the others unchanged', async () => {
    using veth = vethPair({ queues: 2 })
    using first = open(veth.a)
    const before = native.handleCount()
    expect(() => open(veth.a, { queueId: 'all' })).toThrow(expect.objectContaining({ code: 'EBUSY' }))
    expect(native.handleCount()).toBe(before)
    using peer = open(veth.b)
    transmit(peer, frame(first, peer, 60, 3))
    expect(await collect(first, 1)).toEqual([frame(first, peer, 60, 3)])
  })
})

function programId(name: string): number {
  return Number(/\bprog\/xdp\w* id (\d+)/.exec(ip('-d', 'link', 'show', name))?.[1] ?? Number.NaN)
}

describe('one arena for several queues', () => {
  test('forwards between two devices without a copy', async () => {
    using left = vethPair()
    using right = vethPair()
    const frames = new FramePool({ frameCount: 1024 })
    using a = open(left.a, { frames, receiveFrames: 256, promiscuous: true })
    using b = open(right.a, { frames, receiveFrames: 256, promiscuous: true })
    expect([a.report.sharedMemory, b.report.sharedMemory]).toEqual([false, true])
    expect(b.report).toMatchObject({ zeroCopy: false, mode: 'native', multiBuffer: true })
    using source = PacketQueue.open(left.b)
    using sink = PacketQueue.open(right.b, { promiscuous: true })
    for (let i = 0; i < 300; i++) {
      const sent = frame(sink, source, 60 + i, i)
      transmit(source, sent)
      const slot = await receiveOne(a)
      const at = a.offset(slot)
      expect(b.offset(slot)).toBe(at)
      b.forward(slot)
      expect(b.submit()).toBe(1)
      expect(await collect(sink, 1)).toEqual([sent])
      // The bytes stay where they arrived.
      expect(Buffer.compare(frames.arena.bytes.subarray(at, at + sent.length), sent)).toBe(0)
    }
    a.submit()
    b.submit()
    expect(frames.free).toBe(512)
    // The queue that registered the arena may close first.
    a.close()
    transmit(source, frame(b, source, 60))
    transmit(b, frame(sink, b, 200, 9))
    expect(await collect(sink, 1)).toEqual([frame(sink, b, 200, 9)])
    using again = open(left.a, { frames, receiveFrames: 256 })
    expect(again.report.sharedMemory).toBe(true)
    b.close()
    again.close()
    expect(frames.free).toBe(1024)
  })

  test('is locked once: two queues fit where the limit on locked memory has room for one arena', async () => {
    using left = vethPair()
    using right = vethPair()
    const limited = (...words: string[]) =>
      command(
        'prlimit',
        `--memlock=${3 * 2 ** 20}`,
        'setpriv',
        '--inh-caps=-ipc_lock',
        '--bounding-set=-ipc_lock',
        process.execPath,
        '--no-warnings',
        programPath('two-queues.mjs'),
        left.a,
        right.a,
        ...words,
      )
    expect(await limited('one')).toEqual({ code: 0, output: 'opened, shared\n' })
    expect(await limited('two')).toEqual({
      code: 0,
      output: expect.stringMatching(/^ENOBUFS .*XDP_UMEM_REG \(locked memory is limited to 3072 KiB: raise/),
    })
  })

  test('frames of two queues of one device, and jumbo frames', async () => {
    using veth = vethPair({ queues: 2, mtu: 9000 })
    const frames = new FramePool({ frameCount: 128, frameSize: 16384 })
    using a = open(veth.a, { frames, batch: 16, receiveFrames: 32 })
    using b = open(veth.a, { queueId: 1, frames, batch: 16, receiveFrames: 32 })
    expect(b.report).toMatchObject({ sharedMemory: true, multiBuffer: true })
    const from = Array.from({ length: 2 }, (_, queueId) =>
      open(veth.b, { queueId, frameCount: 64, batch: 16 }),
    )
    const sent = frame(a, from[1], 9014, 4)
    transmit(from[1], sent)
    const slot = await receiveOne(b)
    expect(Buffer.compare(copy(b, slot), sent)).toBe(0)
    for (const queue of from) queue.setPromiscuous(true)
    a.forward(slot)
    expect(a.submit()).toBe(1)
    expect(Buffer.compare((await collect(from[0], 1))[0], sent)).toBe(0)
    for (const queue of from) queue.close()
  })
})

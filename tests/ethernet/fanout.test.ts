/** Queues that share an interface's frames: each frame goes to one queue, and all of a flow to the same. */
import { on as eventsOf, once } from 'node:events'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'
import { ethernet, ipv4, PacketQueue, type PacketQueueOptions, queryInterface, udp } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { spawn } from '../beds/child.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { programPath } from './program.js'
import { copy, frame, queueFrame } from './traffic.js'

let veth: VethPair
let sender: PacketQueue
let target: Uint8Array
beforeAll(() => {
  veth = vethPair()
  sender = PacketQueue.open(veth.a)
  target = queryInterface(veth.b).macBytes
})
afterAll(() => {
  sender.close()
  veth.remove()
})

type Fanout = NonNullable<PacketQueueOptions['fanout']>
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** This many queues of one group. */
function members(count: number, fanout: Fanout, options: PacketQueueOptions = {}) {
  const first = PacketQueue.open(veth.b, { fanout, ...options })
  const group = first.report.fanout?.group as number
  const others = Array.from({ length: count - 1 }, () =>
    PacketQueue.open(veth.b, { ...options, fanout: { ...fanout, group } }),
  )
  const queues = [first, ...others]
  const close = (): void => {
    for (const queue of queues) queue.close()
  }
  return { queues, group, [Symbol.dispose]: close }
}

/** The frames that came to a queue, in hex. */
function came(queue: PacketQueue): string[] {
  const frames: string[] = []
  for (let n = queue.receive(); n > 0; n = queue.receive()) {
    for (let i = 0; i < n; i++) {
      frames.push(hex(copy(queue, queue.slot(i))))
      queue.release(queue.slot(i))
    }
  }
  return frames
}

/** Sends frames; all have arrived on return, because a veth receives during the send. */
async function send(frames: readonly Uint8Array[]): Promise<void> {
  for (const bytes of frames) {
    queueFrame(sender, bytes)
    if (sender.pending === 64) await sender.drain()
  }
  await sender.drain()
}

/** UDP over IPv4 from one port to another, the same each time but for `number`. */
function datagram(from: [string, number], to: [string, number], number: number): Uint8Array {
  const bytes = new Uint8Array(60)
  ethernet.write(bytes, 0, target, sender.interface.macBytes, 0x0800)
  const at = ipv4.write(bytes, 14, 26, 17, ipv4.parse(from[0]), ipv4.parse(to[0]))
  const payload = udp.write(bytes, at, from[1], to[1], 18)
  bytes[payload] = number >> 8
  bytes[payload + 1] = number & 255
  return bytes
}

describe('each frame comes to one queue', () => {
  test.each<Fanout['mode']>(['hash', 'lb', 'cpu', 'rollover', 'rnd', 'qm'])('%s', async (mode) => {
    using group = members(3, { group: 'new', mode })
    expect(group.queues.map(({ report }) => report.fanout)).toEqual(
      Array(3).fill({ group: group.group, mode }),
    )
    const sent = Array.from({ length: 300 }, (_, i) => frame(group.queues[0], sender, 60, i))
    await send(sent)
    const each = group.queues.map(came)
    expect(each.flat().sort()).toEqual(sent.map(hex).sort())
    if (mode === 'lb') expect(each.map(({ length }) => length)).toEqual([100, 100, 100])
    // One queue has room for all frames, one processor and one queue of the device receive all, and all other protocols
    // are one flow.
    if (mode !== 'lb' && mode !== 'rnd' && mode !== 'cpu') {
      expect(each.map(({ length }) => length).sort()).toEqual([0, 0, 300])
    }
  })

  test('receives no outgoing frames, unless asked to', async () => {
    using quiet = members(2, { group: 'new', mode: 'lb' })
    using loud = members(2, { group: 'new', mode: 'lb' }, { outgoing: true })
    using other = PacketQueue.open(veth.b, { transmitOnly: true })
    const sent = Array.from({ length: 10 }, (_, i) => frame(sender, other, 60, i))
    for (const bytes of sent) queueFrame(other, bytes)
    await other.drain()
    expect(quiet.queues.flatMap(came)).toEqual([])
    expect(loud.queues.flatMap(came).sort()).toEqual(sent.map(hex).sort())
    came(sender)
  })

  test('works by recvmmsg and with flow rules, too', async () => {
    using group = members(2, { group: 'new', mode: 'lb' }, { receivePath: 'recvmmsg', etherType: 0x88b5 })
    const sent = Array.from({ length: 40 }, (_, i) => frame(group.queues[0], sender, 60, i))
    await send(sent)
    const each = group.queues.map(came)
    expect(each.flat().sort()).toEqual(sent.map(hex).sort())
    expect(each.map(({ length }) => length)).toEqual([20, 20])
  })
})

describe('flows', () => {
  test('stay on one queue in both directions, and spread over all queues', async () => {
    using group = members(4, { group: 'new', mode: 'hash' })
    const flows = Array.from({ length: 64 }, (_, f) => {
      const one: [string, number] = [`10.0.0.${f}`, 1000 + f]
      const other: [string, number] = ['10.0.1.1', 53]
      return Array.from({ length: 6 }, (_, i) => (i % 2 ? datagram(one, other, i) : datagram(other, one, i)))
    })
    // One packet of each flow, then the next of each.
    await send(Array.from({ length: 6 }, (_, i) => flows.map((flow) => flow[i])).flat())
    const each = group.queues.map((queue) => new Set(came(queue)))
    expect(each.reduce((sum, { size }) => sum + size, 0)).toBe(64 * 6)
    for (const flow of flows) {
      const where = flow.map((bytes) => each.findIndex((queue) => queue.has(hex(bytes))))
      expect(new Set(where).size).toBe(1)
      expect(where[0]).toBeGreaterThanOrEqual(0)
    }
    // 64 flows in one of 4 places by chance: 4^-63.
    expect(each.filter(({ size }) => size > 0).length).toBeGreaterThan(1)
  })

  test('fragments come to one queue when the kernel reassembles them first', async () => {
    const whole = datagram(['10.9.0.1', 1000], ['10.9.0.2', 53], 7)
    const fragments = [0, 1].map((i) => {
      // 8 bytes of UDP header and 8 of payload, then the other 10.
      const bytes = new Uint8Array(60)
      bytes.set(whole.subarray(0, 34))
      const part = whole.subarray(34 + 16 * i, i === 0 ? 50 : 60)
      bytes.set(part, 34)
      bytes[14 + 2] = 0
      bytes[14 + 3] = 20 + part.length
      bytes[14 + 6] = i === 0 ? 0x20 : 0
      bytes[14 + 7] = i === 0 ? 0 : 2
      bytes.set([0, 0], 14 + 10)
      let sum = 0
      for (let at = 14; at < 34; at += 2) sum += (bytes[at] << 8) | bytes[at + 1]
      sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff
      bytes.set([sum >> 8, sum & 255], 14 + 10)
      return bytes
    })
    using together = members(2, { group: 'new', mode: 'hash', defragment: true })
    using apart = members(2, { group: 'new', mode: 'hash' })
    await send(fragments)
    const packets = together.queues.flatMap(came)
    expect(packets.length).toBe(1)
    // The addresses, and the whole datagram behind a header of its length.
    expect(packets[0].slice(0, 24)).toBe(hex(whole).slice(0, 24))
    expect(packets[0].slice(68, 120)).toBe(hex(whole).slice(68, 120))
    expect(apart.queues.flatMap(came).sort()).toEqual(fragments.map(hex).sort())
  })

  test('rollover gives frames without room in one queue to the other', async () => {
    const options = { receiveBuffer: 65536, frameCount: 256 }
    using alone = members(2, { group: 'new', mode: 'hash' }, options)
    using shared = members(2, { group: 'new', mode: 'hash', rollover: true }, options)
    const sent = Array.from({ length: 60 }, (_, i) => datagram(['10.0.0.1', 9], ['10.0.0.2', 9], i))
    await send(sent)
    const dropped = (queues: PacketQueue[]): number =>
      queues.reduce((sum, queue) => sum + queue.statistics().dropped, 0)
    // One flow exceeds one ring.
    expect(dropped(alone.queues)).toBeGreaterThan(0)
    expect(dropped(shared.queues)).toBe(0)
    const each = shared.queues.map(came)
    expect(each.flat().sort()).toEqual(sent.map(hex).sort())
    expect(Math.min(...each.map(({ length }) => length))).toBeGreaterThan(0)
  })
})

describe('groups', () => {
  test('in threads and processes: each frame once', async () => {
    using group = members(1, { group: 'new', mode: 'lb' })
    const words = [veth.b, String(group.group), 'lb']
    const child = spawn(process.execPath, [programPath('fanout.mjs'), ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = eventsOf(createInterface({ input: child.stdout }), 'line')
    const worker = new Worker(programPath('fanout.mjs'), { workerData: words })
    try {
      const [[ready]] = [await once(worker, 'message'), (await lines.next()).value]
      expect(ready).toBe('ready')
      const sent = Array.from({ length: 90 }, (_, i) => frame(group.queues[0], sender, 60, i))
      await send(sent)
      child.stdin.write('\n')
      worker.postMessage('')
      const each = [
        came(group.queues[0]),
        JSON.parse((await lines.next()).value[0]),
        JSON.parse((await once(worker, 'message'))[0]),
      ]
      expect(each.flat().sort()).toEqual(sent.map(hex).sort())
      expect(each.map(({ length }) => length)).toEqual([30, 30, 30])
    } finally {
      child.kill()
      await worker.terminate()
    }
  })

  test("'new' is an unused number each time; a given number is used", () => {
    using one = members(1, { group: 'new' })
    using other = members(2, { group: 'new' })
    expect(one.group).not.toBe(other.group)
    using named = members(1, { group: 4711, mode: 'lb' })
    expect(named.queues[0].report.fanout).toEqual({ group: 4711, mode: 'lb' })
    using plain = PacketQueue.open(veth.b)
    expect(plain.report.fanout).toBe(null)
  })

  test('refuses a group of another kind, in words', () => {
    using group = members(1, { group: 4712, mode: 'lb' })
    for (const options of [
      { fanout: { group: 4712, mode: 'hash' } },
      { fanout: { group: 4712, mode: 'lb' }, outgoing: true },
    ] as const) {
      expect(() => PacketQueue.open(veth.b, options)).toThrow(
        expect.objectContaining({
          code: 'EINVAL',
          syscall: 'setsockopt',
          message: expect.stringContaining(
            'PACKET_FANOUT: group 4712 has queues of another interface, mode or options',
          ),
        }),
      )
    }
    expect(group.queues[0].report.fanout).toEqual({ group: 4712, mode: 'lb' })
  })

  test('invalid options', () => {
    const open =
      (options: object): (() => PacketQueue) =>
      () =>
        PacketQueue.open(veth.b, options)
    for (const fanout of [1, null, { group: '1' }, { mode: 'lb' }, { group: 1, defragment: 1 }]) {
      expect(open({ fanout })).toThrow(TypeError)
    }
    for (const fanout of [
      { group: -1 },
      { group: 65536 },
      { group: 1, mode: 'fair' },
      { group: 1, mode: 'rollover', rollover: true },
    ]) {
      expect(open({ fanout })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
    expect(open({ fanout: { group: 1, made: 'lb' } })).toThrow(/did you mean "mode"/)
    expect(open({ fanout: { group: 1 }, transmitOnly: true })).toThrow(/"options.fanout" must be left out/)
    expect(open({ fanout: { group: 1 }, backend: 'af_xdp' })).toThrow(/"options.fanout" must be left out/)
  })
})

/** ibverbs forward and ibverbs reflect, between the test's own wires. */
import { ethernet, PacketQueue, PacketType, queryInterface } from 'ibverbs/ethernet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { limit } from '../beds/limit.js'
import { Random } from '../beds/random.js'
import { type VethPair, vethPair } from '../beds/veth.js'
import { frames as kinds } from '../cli/frames.js'
import { type Finished, ibverbs, type Running, start } from '../cli/run.js'
import { backends, collect, transmit } from './traffic.js'

let left: VethPair
let right: VethPair
let running: Running | undefined

beforeEach(() => {
  left = vethPair()
  right = vethPair()
})

afterEach(async () => {
  running?.child.kill('SIGKILL')
  await running?.finished
  running = undefined
  left.remove()
  right.remove()
})

const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'))
const random = new Random(7)
/** Frames of every kind and every length. */
const list: Uint8Array[] = [
  ...Object.values(kinds),
  ...Array.from({ length: 300 }, (_, i) => {
    const frame = random.bytes(14 + ((i * 37) % 1501))
    frame[0] &= 0xfe
    frame.set([0x88, 0xb5], 12)
    return frame
  }),
]
const touched = (frames: readonly Uint8Array[]) =>
  frames.map((frame) => {
    const copy = Uint8Array.from(frame)
    copy[1]++
    return copy
  })

/** Frames as they were on the wire: with the tag that the kernel stripped put back. */
async function onWire(queue: PacketQueue, count: number): Promise<Uint8Array[]> {
  const got: Uint8Array[] = []
  const signal = AbortSignal.timeout(limit)
  while (got.length < count) {
    await queue.wait({ signal })
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      const bytes = Buffer.from(queue.memory.slice(at, at + queue.length(slot)))
      const tag = Buffer.alloc(4)
      tag.writeUInt32BE(queue.vlan(slot))
      got.push(queue.vlan(slot) ? Buffer.concat([bytes.subarray(0, 12), tag, bytes.subarray(12)]) : bytes)
      queue.release(slot)
    }
  }
  return got
}

async function stop(signal: NodeJS.Signals = 'SIGINT'): Promise<Finished> {
  running!.child.kill(signal)
  return running!.finished
}

describe.each(backends)('forward, %s', (backend) => {
  const begin = async (...flags: string[]) => {
    running = start(['forward', left.b, right.a, '--backend', backend, ...flags])
    await running.until(/^forwarding between/m)
  }

  test.each([
    ['touches one byte of each frame', [], touched],
    ['--transparent leaves them as they are', ['--transparent'], (frames: Uint8Array[]) => frames],
    ['--busy is the same without sleep', ['--busy'], touched],
  ] as const)('%s, both ways, in order', async (_, flags, change) => {
    await begin('--json', ...flags)
    using a = PacketQueue.open(left.a, { promiscuous: true })
    using b = PacketQueue.open(right.b, { promiscuous: true })
    const [there, back] = [onWire(b, list.length), onWire(a, list.length)]
    transmit(a, ...list)
    transmit(b, ...list)
    expect(hex(await there)).toEqual(hex(change(list)))
    expect(hex(await back)).toEqual(hex(change(list)))
    const { code, stdout, stderr } = await stop()
    expect(code).toBe(130)
    expect(stderr).toBe(`forwarding between ${left.b} and ${right.a}, ${backend}\n`)
    const bytes = list.reduce((sum, { length }) => sum + length, 0)
    expect(JSON.parse(stdout)).toMatchObject({
      backend,
      directions: [
        {
          from: left.b,
          to: right.a,
          frames: list.length,
          bytes,
          received: { dropped: 0 },
          sent: { refused: 0 },
        },
        {
          from: right.a,
          to: left.b,
          frames: list.length,
          bytes,
          received: { dropped: 0 },
          sent: { refused: 0 },
        },
      ],
    })
  })

  test('under a flood from both sides every frame arrives or is counted', async () => {
    await begin('--json')
    using a = PacketQueue.open(left.a, { promiscuous: true, transmitOnly: true })
    using b = PacketQueue.open(right.b, { promiscuous: true, transmitOnly: true })
    const frame = list[list.length - 1]
    for (let round = 0; round < 200; round++) {
      for (const queue of [a, b]) {
        for (let i = 0; i < 50; i++) {
          const slot = queue.claim()
          if (slot < 0) break
          queue.memory.set(frame, queue.offset(slot))
          queue.send(slot, frame.length)
        }
        await queue.drain()
      }
    }
    const totals = [a, b].map((queue) => queue.statistics().transmitted)
    expect(totals).toEqual([10_000, 10_000])
    // The forwarder reads the frames that wait before any that come later.
    const { stdout, markers } = await settled()
    for (const [i, { frames, received }] of JSON.parse(stdout).directions.entries()) {
      expect(frames).toBe(received.received)
      expect(frames + received.dropped).toBe(10_000 + markers[i])
    }
  })

  test('reports after the forwarded frames that an interface disappeared', async () => {
    await begin()
    using a = PacketQueue.open(left.a)
    using b = PacketQueue.open(right.b, { promiscuous: true })
    transmit(a, kinds['ARP reply'])
    await collect(b, 1)
    right.remove()
    const { code, stdout, stderr } = await running!.finished
    expect(code).toBe(1)
    expect(stdout).toContain(
      `${left.b} → ${right.a}: 1 frame, ${kinds['ARP reply'].length} bytes, 0 dropped by kernel`,
    )
    expect(stderr).toMatch(/\nibverbs forward: (ENODEV|ENETDOWN): /)
  })

  /** Ends the forwarder when the last marker has come through each way: all earlier frames are through then. */
  async function settled(): Promise<Finished & { markers: number[] }> {
    using a = PacketQueue.open(left.a, { promiscuous: true, etherType: 0x88b6 })
    using b = PacketQueue.open(right.b, { promiscuous: true, etherType: 0x88b6 })
    const marker = Buffer.from(list[list.length - 1])
    marker.set([0x88, 0xb6], 12)
    const last = async (queue: PacketQueue, number: number): Promise<boolean> => {
      while ((await queue.spin(500_000)) > 0) {
        for (const frame of await collect(queue, 1))
          if (Buffer.from(frame).readUInt32BE(14) === number) return true
      }
      return false
    }
    const markers = [0, 0]
    for (const [i, [from, to]] of [
      [a, b],
      [b, a],
    ].entries()) {
      // A marker can be dropped too: then the test sends another one.
      do {
        marker.writeUInt32BE(++markers[i], 14)
        transmit(from, marker)
      } while (!(await last(to, markers[i])))
    }
    return { ...(await stop()), markers }
  }
})

test('forward with a filter forwards only the matching frames', async () => {
  running = start(['forward', left.b, right.a, '--transparent', '-f', 'udp port 50001'])
  await running.until(/^forwarding between/m)
  using a = PacketQueue.open(left.a)
  using b = PacketQueue.open(right.b, { promiscuous: true })
  transmit(a, kinds['TCP data'], kinds['UDP over IPv4'], kinds['ARP reply'], kinds['UDP over IPv6'])
  expect(hex(await collect(b, 2))).toEqual(hex([kinds['UDP over IPv4'], kinds['UDP over IPv6']]))
  const { stdout } = await stop('SIGTERM')
  expect(stdout).toMatch(`${left.b} → ${right.a}: 2 frames, `)
})

test('forward counts the frames that the other interface refuses, by error', async () => {
  left.remove()
  left = vethPair({ mtu: 3000 })
  running = start(['forward', left.b, right.a, '--transparent'])
  await running.until(/^forwarding between/m)
  using a = PacketQueue.open(left.a)
  using b = PacketQueue.open(right.b, { promiscuous: true })
  const long = Uint8Array.from(
    { length: 2000 },
    (_, i) => [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][i] ?? 7,
  )
  transmit(a, kinds['ARP reply'], long, kinds['ARP request'])
  expect(hex(await collect(b, 2))).toEqual(hex([kinds['ARP reply'], kinds['ARP request']]))
  const { stdout } = await stop()
  expect(stdout.split('\n')[0]).toMatch(
    /0 dropped by kernel, 1 refused by the kernel \(EMSGSIZE: too long for the interface\)$/,
  )
})

describe.each(backends)('reflect, %s', (backend) => {
  test('sends every frame back, its addresses exchanged; those to groups and to others stay', async () => {
    running = start(['reflect', left.b, '--backend', backend, '--json'])
    await running.until(/^reflecting on/m)
    using a = PacketQueue.open(left.a)
    const { macBytes } = queryInterface(left.b)
    const sent = list.map((frame) => {
      const own = Uint8Array.from(frame)
      own.set(macBytes, 0)
      own.set(a.interface.macBytes, 6)
      return own
    })
    const toAll = Uint8Array.from(kinds['ARP request'])
    toAll.fill(255, 0, 6)
    const arriving = onWire(a, sent.length)
    transmit(a, toAll, list[5], ...sent)
    const got = await arriving
    for (const [i, frame] of got.entries()) {
      expect(ethernet.format(frame)).toBe(a.interface.mac)
      expect(ethernet.format(frame, 6)).toBe(queryInterface(left.b).mac)
      // After the addresses: the same bytes where the command exchanges nothing, and the same length everywhere.
      expect(frame.length).toBe(sent[i].length)
      if (i >= Object.keys(kinds).length)
        expect(hex([frame.subarray(12)])).toEqual(hex([sent[i].subarray(12)]))
    }
    const udp = Object.keys(kinds).indexOf('UDP over IPv4')
    expect(Buffer.from(got[udp]).toString('hex', 26, 38)).toBe('0a0000020a000001c351c350')
    const { code, stdout } = await stop()
    expect(code).toBe(130)
    expect(JSON.parse(stdout)).toMatchObject({ frames: sent.length, ignored: 1 })
  })
})

test('reflect reports its counts in words', async () => {
  running = start(['reflect', left.b, 'arp'])
  await running.until(/^reflecting on/m)
  using a = PacketQueue.open(left.a, { promiscuous: true })
  const frame = Uint8Array.from(kinds['ARP reply'])
  frame.set(queryInterface(left.b).macBytes, 0)
  transmit(a, frame, kinds['UDP over IPv4'])
  await a.wait()
  a.receive()
  const slot = a.slot(0)
  expect(a.packetType(slot)).toBe(PacketType.otherHost)
  const { code, stdout, stderr } = await stop()
  expect({ code, stdout }).toEqual({
    code: 130,
    stdout: '1 frame reflected, 0 left alone, 0 dropped by kernel\n',
  })
  expect(stderr).toBe(`reflecting on ${left.b} (${queryInterface(left.b).mac}), af_packet\n`)
})

test('the error names a missing interface', async () => {
  for (const words of [
    ['forward', left.b, 'nosuch'],
    ['reflect', 'nosuch'],
  ]) {
    const { code, stderr } = await ibverbs(words)
    expect(code).toBe(1)
    expect(stderr).toContain(`ibverbs ${words[0]}: ENODEV: `)
  }
})

/** Flow rules on a real socket: the frames that the kernel lets through to a queue. */

import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { type FlowRule, PacketQueue } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { Random } from '../beds/random.js'
import { vethPair } from '../beds/veth.js'
import { matches, randomFrame, randomRule } from '../flow/rules.js'
import { addressing, collect, copy, etherType, frame, openWire, transmit } from './traffic.js'

/** Ends a series of frames: every frame sent before has arrived or was filtered. */
const last = 0x88b7

function lastFrame(): Uint8Array {
  const bytes = new Uint8Array(60)
  bytes[12] = last >> 8
  bytes[13] = last & 255
  return bytes
}

/** Receives until the last frame, and returns the frames before it. */
async function received(queue: PacketQueue): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = []
  for (;;) {
    await queue.wait({ signal: AbortSignal.timeout(limit) })
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const bytes = copy(queue, slot)
      // As it was on the wire: the kernel strips the outer tag.
      const tag = queue.vlan(slot)
      const wire =
        tag === 0
          ? bytes
          : Uint8Array.of(
              ...bytes.slice(0, 12),
              tag >>> 24,
              (tag >> 16) & 255,
              (tag >> 8) & 255,
              tag & 255,
              ...bytes.slice(12),
            )
      queue.release(slot)
      if (tag === 0 && bytes[12] === last >> 8 && bytes[13] === (last & 255)) return frames
      frames.push(wire)
    }
  }
}

const hex = (frames: Uint8Array[]): string[] => frames.map((bytes) => Buffer.from(bytes).toString('hex'))

/** A frame as the socket's filter sees it: the kernel strips an outer tag of these two types, not of 0x9100. */
function stripped(bytes: Uint8Array): { bytes: Uint8Array; tag?: number } {
  const type = (bytes[12] << 8) | bytes[13]
  if (type !== 0x8100 && type !== 0x88a8) return { bytes }
  return {
    bytes: Uint8Array.of(...bytes.slice(0, 12), ...bytes.slice(16)),
    tag: (bytes[14] << 8) | bytes[15],
  }
}

describe('the kernel lets through', () => {
  test('frames that match: 60 random lists of rules, 40 frames each', async () => {
    using wire = openWire({ transmitOnly: true })
    const random = new Random(11)
    let [yes, no] = [0, 0]
    for (let list = 0; list < 60; list++) {
      const frames = Array.from({ length: 40 }, () => randomFrame(random, 60))
      const rules = Array.from({ length: 1 + random.below(4) }, () => randomRule(random, random.pick(frames)))
      using queue = PacketQueue.open(wire.veth.b, {
        promiscuous: true,
        flows: [...rules, { etherType: last }],
      })
      transmit(wire.a, ...frames, lastFrame())
      const expected = frames.filter((bytes) => {
        const seen = stripped(bytes)
        return rules.some((rule) => matches(rule, seen.bytes, seen.tag))
      })
      expect({ rules, frames: hex(await received(queue)) }).toEqual({ rules, frames: hex(expected) })
      yes += expected.length
      no += frames.length - expected.length
    }
    expect(Math.min(yes, no)).toBeGreaterThan(300)
  })

  test.each(addressing)('%s: together with addresses: own, groups joined and left', async (backend) => {
    using wire = openWire({ backend, flows: [{ etherType }, { etherType: last }] })
    const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 9)
    const stranger = Uint8Array.of(2, 9, 9, 9, 9, 9)
    const otherType = frame(wire.b, wire.a, 60, 1)
    otherType[13]++
    const end = lastFrame()
    end.set(wire.b.interface.macBytes)
    const own = frame(wire.b, wire.a, 60, 2)
    const toGroup = frame(group, wire.a, 60, 3)
    const toStranger = frame(stranger, wire.a, 60, 4)
    const all = [otherType, own, toGroup, toStranger, end]
    transmit(wire.a, ...all)
    expect(await received(wire.b)).toEqual([own])
    wire.b.joinMulticast(group)
    transmit(wire.a, ...all)
    expect(await received(wire.b)).toEqual([own, toGroup])
    wire.b.leaveMulticast(group)
    transmit(wire.a, ...all)
    expect(await received(wire.b)).toEqual([own])
    wire.b.setPromiscuous(true)
    transmit(wire.a, ...all)
    expect(await received(wire.b)).toEqual([own, toGroup, toStranger])
  })

  test('af_xdp: frames that match; a tag that it may not see is refused', async () => {
    using veth = vethPair()
    using sender = PacketQueue.open(veth.a, { transmitOnly: true })
    using queue = PacketQueue.open(veth.b, {
      backend: 'af_xdp',
      flows: [{ etherType, bytes: [{ offset: 14, value: Uint8Array.of(1) }] }, { etherType: last }],
    })
    const [one, two] = [1, 2].map((number) => {
      const bytes = frame(queue, sender, 60, 0)
      bytes[14] = number
      return bytes
    })
    const end = lastFrame()
    end.set(queue.interface.macBytes)
    transmit(sender, two, one, two, end)
    expect(await received(queue)).toEqual([one])
    queue.close()
    expect(() => PacketQueue.open(veth.b, { backend: 'af_xdp', flows: [{ vlan: 5 }] })).toThrow(
      expect.objectContaining({ code: 'ENOTSUP', message: expect.stringContaining('options.flows[0].vlan') }),
    )
    // AF_XDP was only preferred here, so a backend that sees the tag takes its place.
    using either = PacketQueue.open(veth.b, { exclusive: true, flows: [{ vlan: 5 }] })
    expect(either.backend).toBe('af_packet')
    expect(either.report.notUsed).toEqual([
      { what: 'af_xdp', why: expect.stringContaining('options.flows[0].vlan') },
    ])
  })

  test('a rule of many comparisons, and many rules', async () => {
    const value = (i: number): Uint8Array =>
      new Uint8Array(100).map((_, k) => ((14 + i * 100 + k) * 7 + 31 + ((14 + i * 100 + k) >> 8)) & 255)
    const bytes = Array.from({ length: 5 }, (_, i) => ({ offset: 14 + i * 100, value: value(i) }))
    const others = Array.from(
      { length: 8 },
      (_, i): FlowRule => ({ protocol: 'tcp', sourcePort: i, source: '10.0.0.0/8' }),
    )
    using wire = openWire({ flows: [...others, { etherType, bytes }, { etherType: last }] })
    const good = frame(wire.b, wire.a, 1514, 1)
    const bad = frame(wire.b, wire.a, 1514, 1)
    bad[513] ^= 1
    const end = lastFrame()
    end.set(wire.b.interface.macBytes)
    transmit(wire.a, bad, good, frame(wire.b, wire.a, 513, 1), end)
    expect(await received(wire.b)).toEqual([good])
  })
})

test('datagrams of the kernel’s own stack, by port', async () => {
  using wire = openWire()
  execFileSync('ip', ['addr', 'add', '10.77.0.1/24', 'dev', wire.veth.a])
  execFileSync('ip', ['neigh', 'add', '10.77.0.2', 'lladdr', wire.b.interface.mac, 'dev', wire.veth.a])
  using queue = PacketQueue.open(wire.veth.b, {
    flows: [{ protocol: 'udp', destination: '10.77.0.2', destinationPort: { from: 5000, to: 5001 } }],
  })
  const socket = createSocket('udp4')
  for (const port of [4999, 5000, 5001, 5002, 5001]) {
    await new Promise<void>((resolve, reject) =>
      socket.send(`to ${port}`, port, '10.77.0.2', (error) => (error ? reject(error) : resolve())),
    )
  }
  socket.close()
  const texts = (await collect(queue, 3)).map((bytes) => Buffer.from(bytes.subarray(42)).toString())
  expect(texts).toEqual(['to 5000', 'to 5001', 'to 5001'])
  expect(queue.receive()).toBe(0)
})

describe('refusals', () => {
  test('name the field, and leave nothing open', () => {
    using wire = openWire()
    for (const [options, message] of [
      [{ flows: [{ vlan: 5000 }] }, '"options.flows[0].vlan" must be an integer from 0 to 4094, not 5000'],
      [
        { flows: [] },
        '"options.flows" must be at least one rule (left out, every frame is received), not []',
      ],
      [
        { flows: [{}], transmitOnly: true },
        '"options.flows" must be left out where "options.transmitOnly" is true, not [ {} ]',
      ],
    ] as const) {
      expect(() => PacketQueue.open(wire.veth.a, options)).toThrow(expect.objectContaining({ message }))
    }
    const flows = Array.from({ length: 500 }, (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i }))
    expect(() => PacketQueue.open(wire.veth.a, { flows })).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringMatching(
          /^"options\.flows" must be rules for at most 4096 BPF instructions in all/,
        ),
      }),
    )
  })

  // A program takes bytes of net.core.optmem_max, and while one replaces another both count (sk_attach_filter in the
  // kernel).
  const room = Number(readFileSync('/proc/sys/net/core/optmem_max', 'latin1'))
  test.skipIf(room < 131072)('a group that does not fit beside the rules is not joined', async () => {
    const flows = Array.from(
      { length: 70 },
      (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i, destinationPort: i }),
    )
    using wire = openWire({ multicast: ['33:33:00:00:00:01'], flows: [...flows, { etherType }] })
    const group = (i: number): Uint8Array => Uint8Array.of(0x33, 0x33, 0, 0, 0, i)
    for (let i = 0; i < 2; i++) {
      expect(() => wire.b.joinMulticast(group(2))).toThrow(
        expect.objectContaining({
          code: 'ENOMEM',
          syscall: 'setsockopt',
          message: expect.stringMatching(/^ENOMEM: setsockopt: SO_ATTACH_FILTER \(.*net\.core\.optmem_max/),
        }),
      )
    }
    const good = frame(group(1), wire.a, 60, 1)
    transmit(wire.a, frame(group(2), wire.a, 60, 2), good)
    expect(await collect(wire.b, 1)).toEqual([good])
    // It can neither leave a group nor become promiscuous: it keeps its state.
    const refusal = expect.objectContaining({ code: 'ENOMEM' })
    expect(() => wire.b.leaveMulticast(group(1))).toThrow(refusal)
    for (let i = 0; i < 2; i++) expect(() => wire.b.setPromiscuous(true)).toThrow(refusal)
    wire.b.leaveMulticast(group(2))
    transmit(wire.a, frame(group(2), wire.a, 60, 2), good)
    expect(await collect(wire.b, 1)).toEqual([good])
  })
})

/**
 * Flow rules in force on the software device: the frames that come, their tags, and which of two queue pairs gets them.
 */
import { type Flow, type FlowRule, open, type PortRange } from 'ibverbs'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { Random } from '../beds/random.js'
import { matches, randomRule } from '../flow/rules.js'
import {
  broadcast,
  completions,
  type End,
  etherType,
  expectFrames,
  frame,
  frameOf,
  hex,
  openEnd,
  send,
  softPair,
} from './raw.js'

const last = 0x88b7
const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 9)
const stranger = Uint8Array.of(2, 0, 0, 0, 0, 0x99)

/** Sends frames and then one of the last EtherType, which a flow of the test matches; returns the frames before it. */
async function arriving(
  from: End,
  to: End,
  frames: Uint8Array[],
): Promise<{ bytes: Uint8Array; tag: number }[]> {
  expectFrames(to, frames.length + 1 - to.pair.receiveOutstanding)
  await send(from, [...frames, frame(to.mac, from.mac, last, 60)])
  const came: { bytes: Uint8Array; tag: number }[] = []
  for (;;) {
    for (const row of await completions(to, 1)) {
      const bytes = frameOf(to, row)
      if (((bytes[12] << 8) | bytes[13]) === last) return came
      came.push({ bytes, tag: row.flowTag })
    }
  }
}

const includesZero = (port: PortRange | undefined): boolean =>
  port === 0 || (typeof port === 'object' && port.from === 0)

const word = (value: number): number[] => [value >> 8, value & 0xff]

/** A well-formed frame, which a device parses. It takes few values of each kind, so that rules and frames often match. */
function wellFormed(random: Random): Uint8Array {
  const mac = (): number[] => [
    2 + random.pick([0, 0, 0, 1]),
    0,
    random.pick([0, 0x5e]),
    0,
    random.pick([0, 1]),
    random.pick([1, 2]),
  ]
  const tags = Array.from({ length: random.pick([0, 0, 1, 2]) }, () => [
    0x81,
    0,
    ...word(random.pick([0, 5, 6, 261, 4094])),
  ])
  const kind = random.pick([4, 4, 6, 0])
  const protocol = random.pick([6, 17, 17, 1, 132])
  const port = (): number[] => word(random.pick([0, 1, 80, 81, 255, 256, 8080, 65534, 65535]))
  const transport = [...port(), ...port(), ...random.bytes(20 + random.below(30))]
  let packet = [...word(random.pick([0x0806, 0x88b5, 0x88b6])), ...transport]
  if (kind === 4) {
    const options = random.pick([0, 0, 1, 10])
    const address = (): number[] =>
      random.pick([
        [10, 0, 0, 1],
        [10, 0, 0, 2],
        [10, 0, 1, 1],
        [10, 128, 0, 1],
      ])
    const length = 20 + options * 4 + transport.length
    const fragment = random.pick([0, 0, 0, 0x4000, 0x0010])
    packet = [
      8,
      0,
      0x45 + options,
      0,
      ...word(length),
      0,
      7,
      ...word(fragment),
      64,
      protocol,
      0,
      0,
      ...address(),
      ...address(),
    ]
    packet.push(...random.bytes(options * 4), ...transport)
  } else if (kind === 6) {
    const address = (): number[] => [
      0xfe,
      0x80,
      ...new Array(12).fill(0),
      random.pick([0, 1]),
      random.pick([1, 2]),
    ]
    packet = [
      0x86,
      0xdd,
      0x60,
      0,
      0,
      0,
      ...word(transport.length),
      protocol,
      64,
      ...address(),
      ...address(),
      ...transport,
    ]
  }
  return Uint8Array.of(...mac(), ...mac(), ...tags.flat(), ...packet)
}

test('frames that match: 300 random lists of rules, 30 frames each', async () => {
  using wire = softPair()
  const { a, b } = wire
  b.pair.createFlow({ etherType: last })
  const random = new Random(21)
  let [yes, no, refused, device] = [0, 0, 0, 0]
  for (let list = 0; list < 300; list++) {
    const frames = Array.from({ length: 30 }, () => wellFormed(random))
    const rules: FlowRule[] = []
    for (let i = 1 + random.below(3); i > 0; i--) {
      const rule = randomRule(random, random.pick(frames))
      try {
        b.pair.createFlow(rule).close()
        rules.push(rule)
      } catch (error) {
        // Only by name, and never for a field that the device has.
        expect(error).toMatchObject({
          code: 'ENOTSUP',
          syscall: 'ibv_create_flow',
          message: expect.stringContaining('"rules[0].'),
        })
        expect(
          rule.vlan === 'none' ||
            rule.bytes !== undefined ||
            rule.protocol === 'sctp' ||
            [0x8100, 0x88a8, 0x9100].includes(rule.etherType ?? 0) ||
            [rule.sourcePort, rule.destinationPort].some(includesZero),
        ).toBe(true)
        refused++
      }
    }
    if (rules.length === 0) continue
    const flow = b.pair.createFlow(rules)
    device += flow.count
    const expected = frames.filter((bytes) => rules.some((rule) => matches(rule, bytes)))
    const came = (await arriving(a, b, frames)).map(({ bytes }) => hex(bytes))
    expect({ rules, came }).toEqual({ rules, came: expected.map(hex) })
    yes += expected.length
    no += frames.length - expected.length
    flow.close()
  }
  expect(Math.min(yes, no)).toBeGreaterThan(1000)
  expect(refused).toBeGreaterThan(50)
  expect(device).toBeGreaterThan(500)
}, 60_000)

describe('a flow', () => {
  test('puts its tag on each frame; of several flows the most specific wins', async () => {
    using wire = softPair()
    const { a, b } = wire
    b.pair.createFlow({ etherType: last })
    b.pair.createFlow({ destinationMac: b.mac, etherType }, { tag: 0xabcdef, priority: 1 })
    b.pair.createFlow({ destinationMac: b.mac }, { tag: 5, priority: 2 })
    b.pair.createFlow({}, { priority: 3 })
    const frames = [
      frame(b.mac, a.mac, etherType, 60),
      frame(b.mac, a.mac, 0x88b6, 60),
      frame(stranger, a.mac, etherType, 60),
    ]
    expect((await arriving(a, b, frames)).map(({ tag }) => tag)).toEqual([0xabcdef, 5, 0])
  })

  test('drops the frames of a drop rule', async () => {
    using wire = softPair()
    const { a, b } = wire
    const drop = b.pair.createFlow({ sourceMac: stranger }, { drop: true })
    b.pair.createFlow({}, { priority: 1 })
    const frames = [1, 2, 3, 4].map((i) => frame(b.mac, i % 2 ? a.mac : stranger, etherType, 60, i))
    expect((await arriving(a, b, frames)).map(({ bytes }) => hex(bytes))).toEqual(
      [frames[0], frames[2]].map(hex),
    )
    drop.close()
    expect((await arriving(a, b, frames)).map(({ bytes }) => hex(bytes))).toEqual(frames.map(hex))
  })

  test('of the device’s own kinds: unmatched frames, unmatched groups, a copy of all frames', async () => {
    using wire = softPair()
    const { a, b } = wire
    const name = b.context.name
    const mac = [...b.mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
    const other = openEnd(name, mac)
    const sniffer = openEnd(name, mac)
    b.pair.createFlow([{ destinationMac: b.mac }, { etherType: last }])
    const copies = sniffer.pair.createFlow('sniffer')
    const groups = other.pair.createFlow('multicastDefault')
    const frames = [b.mac, group, stranger, broadcast].map((to, i) => frame(to, a.mac, etherType, 60, i))
    const bytesOf = async (end: End, count: number): Promise<string[]> =>
      (await completions(end, count)).map((row) => hex(frameOf(end, row)))
    expectFrames(other, 2)
    expectFrames(sniffer, 5)
    expect((await arriving(a, b, frames)).map(({ bytes }) => hex(bytes))).toEqual([hex(frames[0])])
    expect(await bytesOf(other, 2)).toEqual([frames[1], frames[3]].map(hex))
    expect((await bytesOf(sniffer, 5)).slice(0, 4)).toEqual(frames.map(hex))
    copies.close()
    groups.close()
    other.pair.createFlow('allDefault')
    expectFrames(other, 3)
    expect((await arriving(a, b, frames)).map(({ bytes }) => hex(bytes))).toEqual([hex(frames[0])])
    expect(await bytesOf(other, 3)).toEqual(frames.slice(1).map(hex))
    expect(sniffer.cq.poll()).toBe(0)
    other.context.close()
    sniffer.context.close()
  })
})

describe('lifetime', () => {
  test('ends with close, with its queue pair, with the context', async () => {
    using wire = softPair()
    const { a, b } = wire
    const before = native.handleCount()
    b.pair.createFlow({ etherType: last })
    const flow = b.pair.createFlow([{ destinationMac: b.mac }, { destinationMac: broadcast }])
    expect(native.handleCount()).toBe(before + 2)
    expect(flow.count).toBe(2)
    expect(await arriving(a, b, [frame(b.mac, a.mac, etherType, 60)])).toHaveLength(1)
    flow.close()
    flow.close()
    expect(flow.closed).toBe(true)
    expect(await arriving(a, b, [frame(b.mac, a.mac, etherType, 60)])).toEqual([])
    const flows: Flow[] = [b.pair.createFlow({}), b.pair.createFlow('sniffer')]
    b.pair.close()
    expect(flows.map(({ closed }) => closed)).toEqual([true, true])
    expect(native.handleCount()).toBe(before - 1)
    expect(() => b.pair.createFlow({})).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED' }))
  })

  test('100 rounds of 100 rules leave nothing behind', () => {
    using wire = softPair()
    const { pair } = wire.b
    const before = native.handleCount()
    for (let round = 0; round < 100; round++) {
      using _ = pair.createFlow(Array.from({ length: 100 }, (_, i) => ({ source: `10.0.${round}.${i}` })))
    }
    expect(native.handleCount()).toBe(before)
  })
})

describe('refused', () => {
  test('by a queue pair of another type', () => {
    using soft = softConnectX()
    const context = open(soft.devices()[0].name)
    const cq = context.createCompletionQueue(256)
    const pair = context.allocateProtectionDomain().createQueuePair({ type: 'UD', cq })
    expect(() => pair.createFlow({})).toThrow(
      expect.objectContaining({ code: 'ENOTSUP', syscall: 'createFlow' }),
    )
    context.close()
  })

  test.each<[unknown, unknown, string]>([
    [undefined, undefined, 'rules[0]'],
    [null, undefined, 'rules[0]'],
    [[], undefined, 'rules'],
    [[{}, 5], undefined, 'rules[1]'],
    ['everything', undefined, 'rules'],
    ['normal', undefined, 'rules'],
    [{}, null, 'options'],
    [{}, { priority: -1 }, 'options.priority'],
    [{}, { priority: 65536 }, 'options.priority'],
    [{}, { tag: 2 ** 24 }, 'options.tag'],
    [{}, { tag: '5' }, 'options.tag'],
    [{}, { drop: 1 }, 'options.drop'],
    [{}, { dontTrap: null }, 'options.dontTrap'],
  ])('createFlow(%o, %o)', (rules, options, name) => {
    using wire = softPair()
    const before = native.handleCount()
    expect(() => wire.b.pair.createFlow(rules as never, options as never)).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/),
        message: expect.stringContaining(`"${name}"`),
      }),
    )
    expect(native.handleCount()).toBe(before)
  })

  test('junk in the binding', () => {
    using _ = softPair()
    const before = native.handleCount()
    const random = new Random(5)
    const options = { type: 0, priority: 0, port: 1, flags: 0 }
    // The queue pair's own number is not known: look for it among the handles.
    const handle = Array.from({ length: 65536 }, (_, i) => (1 << 20) | i).find((id) =>
      native.isOpen(id, 4),
    ) as number
    expect(native.isOpen(handle, 4)).toBe(true)
    for (let i = 0; i < 2000; i++) {
      const bytes = random.bytes(random.below(100))
      // Plausible types and sizes, so that some inputs get past the first checks.
      if (bytes.length > 6)
        bytes.set([
          random.pick([0x20, 0x30, 0x31, 0x32, 0x40, 0x50, 0x20]),
          random.pick([0, 0, 1, 16]),
          0,
          0,
          random.pick([40, 24, 32, 88, 16, 8, 255]),
          0,
        ])
      try {
        native.close(native.verbs.createFlow(handle, [bytes], options), 9)
      } catch (error) {
        expect((error as { code: string }).code).toMatch(/^ERR_OUT_OF_RANGE$|^E[A-Z]+$/)
      }
    }
    for (const junk of [undefined, null, 5, {}, [5], [new Uint16Array(4)], [new Uint8Array(1e6)]]) {
      expect(() => native.verbs.createFlow(handle, junk as never, options)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/) }),
      )
    }
    expect(native.handleCount()).toBe(before)
  })
})

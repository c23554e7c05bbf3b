/**
 * The frames that `etherType` and `flows` let through: one table for all backends, options, and frames with and without
 * tags.
 */

import type { PacketQueue, PacketQueueOptions } from 'ibverbs/ethernet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { limit } from '../beds/limit.js'
import { copy, frame, on, queueFrame, type Wire, ways } from './traffic.js'

/**
 * The tags of each frame (type and control information), the type behind them, and whether it goes to another station.
 */
const sent: Record<string, { tags?: [number, number][]; type: number; stranger?: boolean }> = {
  plain: { type: 0x88b5 },
  other: { type: 0x88b6 },
  tagged: { tags: [[0x8100, 0x6005]], type: 0x88b5 },
  priority: { tags: [[0x8100, 0xc000]], type: 0x88b5 },
  'other, tagged': { tags: [[0x8100, 5]], type: 0x88b6 },
  service: { tags: [[0x88a8, 7]], type: 0x88b5 },
  stacked: {
    tags: [
      [0x88a8, 7],
      [0x8100, 5],
    ],
    type: 0x88b5,
  },
  "a stranger's": { type: 0x88b5, stranger: true },
  "a stranger's, tagged": { tags: [[0x8100, 0x0005]], type: 0x88b5, stranger: true },
}
/** The EtherType of the frame that ends each round. */
const last = 0x88b7

const of88b5 = ['plain', 'tagged', 'priority', 'service', 'stacked']
const strangers = ["a stranger's", "a stranger's, tagged"]
const tagged = ['tagged', 'priority', 'other, tagged']

const table: [string, PacketQueueOptions, string[]][] = [
  ['0x88b5', { etherType: 0x88b5 }, of88b5],
  ['0x88b5, promiscuous', { etherType: 0x88b5, promiscuous: true }, [...of88b5, ...strangers]],
  ['0x88b5 by a rule', { flows: [{ etherType: 0x88b5 }] }, of88b5],
  [
    '0x88b5 by a rule, promiscuous',
    { flows: [{ etherType: 0x88b5 }], promiscuous: true },
    [...of88b5, ...strangers],
  ],
  [
    '0x88b6 and rules for both',
    { etherType: 0x88b6, flows: [{ etherType: 0x88b5 }, {}] },
    ['other', 'other, tagged'],
  ],
]
/** For the backends that see a tag's type. */
const tagTable: typeof table = [
  ['0x8100', { etherType: 0x8100 }, tagged],
  ['0x8100, promiscuous', { etherType: 0x8100, promiscuous: true }, [...tagged, strangers[1]]],
  ['0x8100 by a rule', { flows: [{ etherType: 0x8100 }] }, tagged],
  [
    '0x8100 by a rule, promiscuous',
    { flows: [{ etherType: 0x8100 }], promiscuous: true },
    [...tagged, strangers[1]],
  ],
  [
    '0x8100 and a rule for what is behind',
    { etherType: 0x8100, flows: [{ etherType: 0x88b6 }] },
    ['other, tagged'],
  ],
  ['0x88a8', { etherType: 0x88a8 }, ['service', 'stacked']],
  ['0x88b5 without a tag', { etherType: 0x88b5, flows: [{ vlan: 'none' }] }, ['plain']],
  [
    '0x88b5 without a tag, promiscuous',
    { etherType: 0x88b5, flows: [{ vlan: 'none' }], promiscuous: true },
    ['plain', strangers[0]],
  ],
  ['0x88b5 of a tag', { etherType: 0x88b5, flows: [{ vlan: 7 }] }, ['service', 'stacked']],
]

describe.each(ways)('%s', (way) => {
  const { open, openWire, xdp, raw, packet } = on(way)
  const rows = xdp || packet ? [...table, ...tagTable] : table
  const room = { headroom: 4, frameCount: 256 }
  let wire: Wire
  beforeAll(() => {
    wire = openWire(room)
    wire.b.close()
  })
  afterAll(() => wire[Symbol.dispose]())

  if (!packet) {
    test("refuses a tag's type that the backend cannot see, by name", () => {
      for (const [field, options] of [
        ['options.etherType', { etherType: 0x8100 }],
        ['options.flows[0].etherType', { flows: [{ etherType: 0x88a8 }] }],
      ] as const) {
        expect(() => open(wire.veth.b, options)).toThrow(
          expect.objectContaining({
            code: 'ENOTSUP',
            message: expect.stringMatching(
              new RegExp(`"${field.replaceAll(/[.[\]]/g, '\\$&')}": .*(rxvlan off|not its type)`),
            ),
          }),
        )
      }
    })
  }

  test.each(rows)('%s', async (_, options, expected) => {
    if (xdp) execFileSync('ethtool', ['-K', wire.veth.b, 'rxvlan', 'off'], { stdio: 'pipe' })
    using queue = open(wire.veth.b, { ...room, ...options })
    // A frame sent over a veth is received at once. The software port's thread takes a moment: a second queue shows
    // when all frames have passed.
    using end = raw ? open(wire.veth.b, { ...room, etherType: last }) : undefined
    await send(wire)
    if (end) await end.wait({ signal: AbortSignal.timeout(limit) })
    expect(received(wire, queue)).toEqual([...expected].sort())
  })

  if (packet) {
    test.each(rows)('outgoing: %s', async (_, options, expected) => {
      using watcher = open(wire.veth.a, { ...room, ...options, outgoing: true })
      await send(wire)
      // No station here owns an outgoing frame: it is seen whatever its destination.
      const all = rows.find(([, each]) => each.promiscuous && same(each, options))
      expect(received(wire, watcher)).toEqual([...(all?.[2] ?? expected)].sort())
    })
  }

  test('refuses a type that no rule lets through', () => {
    expect(() => open(wire.veth.b, { etherType: 0x88b5, flows: [{ etherType: 0x88b6 }] })).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('"options.etherType"'),
      }),
    )
  })
})

/** Whether both options choose the same frames apart from their destination. */
function same(one: PacketQueueOptions, other: PacketQueueOptions): boolean {
  const key = ({ etherType, flows }: PacketQueueOptions): string => JSON.stringify({ etherType, flows })
  return key(one) === key(other)
}

function built({ a, b }: Wire, { tags = [], type, stranger }: (typeof sent)[string]): Uint8Array {
  const whole = frame(stranger ? Uint8Array.of(2, 0, 0, 0, 0, 99) : b, a, 80)
  const words = [...tags.flat(), type].flatMap((word) => [word >> 8, word & 255])
  return Uint8Array.of(...whole.subarray(0, 12), ...words, ...whole.subarray(14))
}

/** Sends all frames, then the last one. */
async function send(wire: Wire): Promise<void> {
  for (const each of [...Object.values(sent), { type: last }]) queueFrame(wire.a, built(wire, each))
  await wire.a.drain()
}

/** The names of the frames that a queue received, as they were on the wire. */
function received(wire: Wire, queue: PacketQueue): string[] {
  const key = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const names = new Map(Object.entries(sent).map(([name, each]) => [key(built(wire, each)), name]))
  const found: string[] = []
  for (let n = queue.receive(); n > 0; n = queue.receive()) {
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      queue.restoreVlan(slot)
      found.push(names.get(key(copy(queue, slot))) ?? key(copy(queue, slot)))
      queue.release(slot)
    }
  }
  return found.sort()
}

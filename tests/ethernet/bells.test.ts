/** The doorbells that hot code rings: functions bound to a queue, whose status lies in a mailbox. */
import { queryInterface } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import type { Bell, Port } from '../../dist/ethernet/port.js'
import { Kind, native } from '../../dist/native.js'
import { allocateRing } from '../../dist/ring/ring.js'
import { Random } from '../beds/random.js'
import { vethPair } from '../beds/veth.js'
import { collect, frame, on, transmit, ways } from './traffic.js'

const portOf = (queue: object): Port => (queue as { port: Port }).port

describe.each(ways)('%s', (way) => {
  const { openWire } = on(way)
  const bellsOf = (queue: object): Bell[] => {
    const { receiveBell, transmitBell } = portOf(queue)
    return [receiveBell, transmitBell].filter((bell) => bell !== undefined)
  }

  test('a million mailboxes of random words: whatever the binding reads of them does no harm', async () => {
    using wire = openWire()
    const { a, b } = wire
    const random = new Random(20261130)
    const bells = bellsOf(a)
    expect(bells.length).toBeGreaterThan(0)
    const rounds = 1_000_000 / bells.length
    let wrong = 0
    for (const { ring, mailbox } of bells) {
      for (let i = 0; i < rounds; i++) {
        for (let word = 0; word < mailbox.length; word++) mailbox[word] = random.u32()
        ring()
        if (mailbox[0] !== 0) wrong++
      }
    }
    expect(wrong).toBe(0)
    transmit(a, frame(b, a, 60, 1))
    expect(await collect(b, 1)).toEqual([frame(b, a, 60, 1)])
    transmit(b, frame(a, b, 60, 2))
    expect(await collect(a, 1)).toEqual([frame(a, b, 60, 2)])
  })

  test('the bell of a closed queue rings nothing', () => {
    const wire = openWire()
    const bells = bellsOf(wire.a)
    wire[Symbol.dispose]()
    for (const { ring, mailbox } of bells) {
      mailbox.fill(4711)
      ring()
      expect(mailbox.every((word) => word === 4711)).toBe(true)
    }
  })
})

test('a mailbox is shared memory, and long enough', () => {
  using veth = vethPair()
  const shared = (words: number) => new Uint32Array(new SharedArrayBuffer(words * 4))
  const handle = native.ethernet.open({
    ...{ interfaceIndex: queryInterface(veth.a).index, batch: 1, frameSize: 2048, headroom: 0 },
    ...{ outgoing: false, transmitOnly: false, receiveBuffer: 0, sendBuffer: 0, onEvent: () => {} },
    ...{ filter: Uint32Array.of(6, 0, 0, 0), arena: new Uint8Array(shared(512).buffer), frames: shared(8) },
    ...{ fill: allocateRing(1, 2), receive: allocateRing(1, 4), transmit: allocateRing(1, 4) },
  })
  try {
    for (const bell of [native.ethernet.receiveBell, native.ethernet.transmitBell]) {
      for (const mailbox of [new Int32Array(4), [0], null, undefined] as never[]) {
        expect(() => bell(handle, mailbox)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
      }
      const short = new Int32Array(new SharedArrayBuffer(0))
      expect(() => bell(handle, short)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }))
    }
  } finally {
    native.close(handle, Kind.PacketSocket)
  }
  const bell = native.ethernet.transmitBell
  expect(() => bell(handle, new Int32Array(new SharedArrayBuffer(4)))).toThrow(
    expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED' }),
  )
})

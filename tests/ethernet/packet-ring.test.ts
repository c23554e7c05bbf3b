/** The ring to which the kernel writes received frames (PACKET_MMAP), as JavaScript reads and corrupts it. */
import { constants } from 'node:os'
import { PacketQueue, queryInterface } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { Kind, native } from '../../dist/native.js'
import { allocateRing, Consumer, Producer } from '../../dist/ring/ring.js'
import { Random } from '../beds/random.js'
import { ip, vethPair } from '../beds/veth.js'
import { collect, frame, openWire, transmit } from './traffic.js'

const { EBADMSG } = constants.errno
const slots = 16
const frameSize = 2048

/** Where the slots lie, in words: the geometry that binding/ethernet/af_packet/ring.cc chooses. */
function layoutOf(bytes: number, payload: number) {
  // tpacket_rcv in the kernel puts 76 bytes before the frame. Slots are an odd number of cache lines.
  const slotBytes = (Math.ceil((76 + payload) / 64) | 1) * 64
  const blockBytes = 2 ** Math.ceil(Math.log2(Math.max(4096, slotBytes, Math.min(bytes, 2 ** 17))))
  const slotsPerBlock = Math.floor(blockBytes / slotBytes)
  const blocks = Math.max(1, Math.floor(bytes / blockBytes))
  return {
    slotWords: slotBytes / 4,
    slotsPerBlock,
    blockWords: blockBytes / 4,
    slots: blocks * slotsPerBlock,
  }
}

/** A packet socket that the binding opens, with a ring of `bytes` bytes on `name`. */
function socketOn(name: string, bytes: number, payload = 1522) {
  const fill = new Producer(allocateRing(slots, 2), 2)
  const receive = new Consumer(allocateRing(slots, 4), 4)
  const handle = native.ethernet.open({
    interfaceIndex: queryInterface(name).index,
    batch: slots,
    frameSize,
    headroom: 0,
    outgoing: false,
    transmitOnly: false,
    receiveBuffer: 0,
    sendBuffer: 0,
    filter: Uint32Array.of(6, 0, 0, 0xffffffff),
    arena: new Uint8Array(new SharedArrayBuffer(slots * frameSize)),
    frames: new Uint32Array(new SharedArrayBuffer(slots * 8 * 4)),
    fill: fill.words,
    receive: receive.words,
    transmit: allocateRing(slots, 4),
    onEvent: () => {},
  })
  const words = native.ethernet.ring(handle, bytes, payload)
  const layout = layoutOf(bytes, payload)
  const mailbox = new Int32Array(new SharedArrayBuffer(64))
  const ring = native.ethernet.receiveBell(handle, mailbox)
  native.ethernet.bind(handle, 3)
  const refill = (): void => {
    for (let i = 0; i < slots; i++) {
      const at = fill.push()
      fill.words[at] = i * frameSize
    }
    fill.publish()
  }
  refill()
  return {
    handle,
    words,
    layout,
    /** Whether the next slot's status word shows a frame. */
    ready: () => (Atomics.load(words, mailbox[1]) & 1) !== 0,
    /** Where that word lies. */
    next: () => mailbox[1],
    receive: () => {
      ring()
      return mailbox[0]
    },
    /** Takes the received frames and supplies as many to receive into. */
    take(): number {
      const count = receive.available()
      receive.consume(count)
      for (let i = 0; i < count; i++) fill.words[fill.push()] = (i % slots) * frameSize
      fill.publish()
      return count
    },
    [Symbol.dispose]: () => native.close(handle, Kind.PacketSocket),
  }
}

/** The first word of slot `index`. */
function slotAt(
  layout: { slotWords: number; slotsPerBlock: number; blockWords: number },
  index: number,
): number {
  const block = Math.floor(index / layout.slotsPerBlock)
  return block * layout.blockWords + (index % layout.slotsPerBlock) * layout.slotWords
}

test('the first word of a slot shows a frame, in order, across the end of the ring', async () => {
  using wire = openWire()
  using socket = socketOn(wire.veth.b, 3 * 131072)
  const { layout, words } = socket
  expect(layout.slots).toBe(3 * layout.slotsPerBlock)
  expect(words.length).toBe((3 * 131072) / 4)
  // More than one lap, in steps that do not divide it.
  for (let sent = 0; sent < layout.slots * 2 + 5; ) {
    expect(socket.next()).toBe(slotAt(layout, sent % layout.slots))
    expect(socket.ready()).toBe(false)
    for (let i = 0; i < 7; i++, sent++) {
      expect(words[slotAt(layout, sent % layout.slots)]).toBe(0)
      transmit(wire.a, frame(wire.b, wire.a, 60, sent))
      expect(words[slotAt(layout, sent % layout.slots)] & 1).toBe(1)
      expect(socket.ready()).toBe(true)
    }
    expect(socket.receive()).toBe(7)
    expect(socket.take()).toBe(7)
  }
})

describe('an impossible slot header', () => {
  test.each([
    ['a frame that ends behind the slot', 2, 4000],
    ['a frame as long as can be', 2, 2 ** 32 - 1],
    ['a frame that begins behind the slot', 3, 0xffff],
    ['a frame that begins in the header', 3, 10],
  ])('%s: told, skipped, and the next one is received', (_, word, value) => {
    using wire = openWire()
    using socket = socketOn(wire.veth.b, 65536)
    for (let i = 0; i < 3; i++) transmit(wire.a, frame(wire.b, wire.a, 60, i))
    socket.words[slotAt(socket.layout, 1) + word] = value
    expect(socket.receive()).toBe(1)
    expect(socket.receive()).toBe(-EBADMSG)
    expect(socket.receive()).toBe(1)
    expect(socket.receive()).toBe(0)
    expect(socket.words[slotAt(socket.layout, 1)]).toBe(0)
  })

  test('thousands of random words anywhere in the ring: errors, and nothing else', () => {
    using wire = openWire()
    using socket = socketOn(wire.veth.b, 65536)
    const random = new Random(20260102)
    const seen = new Set<number>()
    for (let round = 0; round < 3000; round++) {
      for (let i = 0; i < 3; i++) {
        const at = slotAt(socket.layout, random.below(socket.layout.slots)) + random.below(24)
        socket.words[at] = random.chance(2 / 3) ? random.u32() : random.below(64)
      }
      transmit(wire.a, frame(wire.b, wire.a, 60 + (round % 1000), round))
      const status = socket.receive()
      seen.add(Math.min(status, 1))
      socket.take()
    }
    expect([...seen].sort()).toEqual([-EBADMSG, 0, 1].sort())
    // With its words restored, it works again.
    socket.words.fill(0)
    for (let i = 0; i < 2 * socket.layout.slots; i++) {
      transmit(wire.a, frame(wire.b, wire.a, 60))
      socket.receive()
      socket.take()
    }
    expect(wire.b.receive()).toBeGreaterThan(0)
  })
})

test('the mapping is all zero after close, and safe after its user transferred it', () => {
  using veth = vethPair()
  const socket = socketOn(veth.b, 65536)
  socket[Symbol.dispose]()
  expect(socket.words.some((word) => word !== 0)).toBe(false)
  socket.words.fill(7)
  // The bell of a closed socket rings nothing.
  expect(socket.receive()).toBe(0)

  // Node 22 and later let any code transfer an ArrayBuffer's memory.
  const second = socketOn(veth.b, 65536)
  const buffer = second.words.buffer as ArrayBuffer & { transfer?(): ArrayBuffer }
  const taken = buffer.transfer?.() ?? buffer
  expect(second.receive()).toBe(0)
  second[Symbol.dispose]()
  expect(taken.byteLength === 0 || new Uint32Array(taken).every((word) => word === 0)).toBe(true)
})

test('a socket has one ring, of a valid size', () => {
  using veth = vethPair()
  using socket = socketOn(veth.b, 65536)
  expect(() => native.ethernet.ring(socket.handle, 65536, 1522)).toThrow(
    expect.objectContaining({ code: 'EBUSY' }),
  )
  const wrong = expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' })
  using queue = PacketQueue.open(veth.a, { receiveBuffer: 1 })
  expect(queue.bufferSizes.receive).toBe(4096)
  for (const payload of [0, 13, 2049]) {
    expect(() => socketOn(veth.b, 65536, payload)).toThrow(wrong)
  }
  expect(() => socketOn(veth.b, 2 ** 30 + 1)).toThrow(wrong)
})

test('a ring of two slots, fewer than a batch', async () => {
  using wire = openWire({ receiveBuffer: 1 })
  const sent = [1, 2, 3].map((number) => frame(wire.b, wire.a, 60, number))
  transmit(wire.a, sent[0])
  transmit(wire.a, sent[1])
  expect(await collect(wire.b, 2)).toEqual(sent.slice(0, 2))
  for (let i = 0; i < 10; i++) transmit(wire.a, frame(wire.b, wire.a, 60, i))
  const first = await collect(wire.b, 2)
  expect(first).toEqual([frame(wire.b, wire.a, 60, 0), frame(wire.b, wire.a, 60, 1)])
  expect(wire.b.statistics()).toMatchObject({ received: 4, dropped: 8, drops: { receiveRingFull: 8 } })
  transmit(wire.a, sent[2])
  expect(await collect(wire.b, 1)).toEqual([sent[2]])
})

test('on lo, with frames of up to 64 KiB, the ring holds as many short ones', async () => {
  ip('link', 'set', 'lo', 'up')
  using a = PacketQueue.open('lo', { transmitOnly: true, frameCount: 256 })
  using b = PacketQueue.open('lo', { promiscuous: true, etherType: 0x88b5, frameCount: 256 })
  expect(a.interface.mtu).toBe(65536)
  expect(b.frames.frameSize).toBe(131072)
  const sent = Array.from({ length: 2000 }, (_, i) => frame(b, a, i % 500 === 499 ? 60_000 : 60, i))
  for (let i = 0; i < sent.length; i += 100) transmit(a, ...sent.slice(i, i + 100))
  expect(await collect(b, sent.length)).toEqual(sent)
  expect(b.statistics()).toMatchObject({ received: 2000, dropped: 0, truncated: 0 })
})

test('falls back to recvmmsg, with the reason, unless the caller asked for the ring', async () => {
  using veth = vethPair()
  const { ring } = native.ethernet
  native.ethernet.ring = () => {
    throw Object.assign(new Error('ENOMEM: setsockopt: PACKET_RX_RING'), { code: 'ENOMEM' })
  }
  try {
    using queue = PacketQueue.open(veth.b)
    expect(queue.report.receivePath).toBe('recvmmsg')
    expect(queue.report.notUsed).toContainEqual({ what: 'ring', why: 'ENOMEM: setsockopt: PACKET_RX_RING' })
    using a = PacketQueue.open(veth.a, { transmitOnly: true })
    transmit(a, frame(queue, a, 60, 1))
    expect(await collect(queue, 1)).toEqual([frame(queue, a, 60, 1)])
    expect(() => PacketQueue.open(veth.b, { receivePath: 'ring' })).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    )
  } finally {
    native.ethernet.ring = ring
  }
})

test('a caller that never lets the event loop turn learns that the interface is down', () => {
  using wire = openWire()
  expect(wire.b.receive()).toBe(0)
  ip('link', 'set', wire.veth.b, 'down')
  const look = (): void => {
    for (let i = 0; i < 70_000; i++) wire.b.receive()
  }
  expect(look).toThrow(expect.objectContaining({ code: 'ENETDOWN', syscall: 'poll' }))
  expect(look).not.toThrow()
  ip('link', 'set', wire.veth.b, 'up')
  ip('link', 'set', wire.veth.b, 'down')
  expect(look).toThrow(expect.objectContaining({ code: 'ENETDOWN' }))
})

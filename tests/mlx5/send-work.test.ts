/** What the device does to a frame that it sends, as the frame's record asks: checksums, a VLAN tag, segments. */

import { open } from 'ibverbs'
import { FramePool, PacketQueue, type PacketQueueOptions, SegmentType } from 'ibverbs/ethernet'
import { createQueuePair, decodeSendRequest, layout } from 'ibverbs/mlx5'
import { type SoftOptions, softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import { thrownBy } from '../beds/process.js'
import { Random } from '../beds/random.js'

const macs = ['02:00:0a:00:00:01', '02:00:0a:00:00:02']

function openPair(options?: PacketQueueOptions, soft?: Partial<SoftOptions>) {
  const card = softConnectX({ wire: 'pair', macs, strict: true, ...soft })
  const frames = new FramePool({ frameCount: 256, frameSize: 32768 })
  const a = PacketQueue.open('mlx5_soft0', { backend: 'mlx5', frames, ...options })
  // Another driver, which would not share its faults.
  const b = PacketQueue.open('mlx5_soft1', { backend: 'raw_packet_qp', frames, batch: 64, receiveFrames: 64 })
  const close = (): void => {
    a.close()
    b.close()
    expect(card.violations()).toEqual([])
    card.close()
  }
  return { card, a, b, frames, [Symbol.dispose]: close }
}

/** The send request whose first block has this counter. */
function requestAt(queue: PacketQueue, counter: number) {
  const words = queue.rings.transmit
  const { records, capacity } = queue.ringLayouts.transmit
  const ring = new Uint8Array(words.buffer, words.byteOffset + records * 4, capacity * 64)
  const at = (counter % capacity) * 64
  const bytes = Uint8Array.of(...ring.subarray(at), ...ring.subarray(0, at))
  return decodeSendRequest(bytes, { type: 'RAW_PACKET' })
}
const fieldIn = (request: ReturnType<typeof requestAt>, title: string, name: string) =>
  request.segments.find((segment) => segment.title === title)?.fields.find((field) => field.name === name)
    ?.value

const word = (value: number): number[] => [value >> 8, value & 0xff]
function sumOf(bytes: Uint8Array, begin: number, end: number, first = 0): number {
  let sum = first
  for (let i = begin; i < end; i += 2) sum += (bytes[i] << 8) | (i + 1 < end ? bytes[i + 1] : 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

/** A TCP segment whose checksum field holds the pseudo-header's sum, and where its TCP header begins. */
function segment(
  to: Uint8Array,
  from: Uint8Array,
  version: 4 | 6,
  payload: number,
  tag: readonly number[] = [],
) {
  const length = 20 + payload
  const ip =
    version === 4
      ? [0x45, 0, ...word(20 + length), 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
      : [
          0x60,
          0,
          0,
          0,
          ...word(length),
          6,
          64,
          ...Array.from({ length: 32 }, (_, i) => (i === 0 || i === 16 ? 0xfd : i)),
        ]
  const bytes = Uint8Array.of(
    ...[...to, ...from, ...tag, ...(version === 4 ? [8, 0] : [0x86, 0xdd])],
    ...[...ip, ...word(4000), ...word(5000), 0, 0, 1, 0, 0, 0, 0, 9, 0x50, 0x19, 1, 0, 0, 0, 0, 0],
    ...Array.from({ length: payload }, (_, i) => (i * 7) & 0xff),
  )
  const at = 14 + tag.length
  const tcp = at + (version === 4 ? 20 : 40)
  if (version === 4) bytes.set(word(~sumOf(bytes, at, at + 20) & 0xffff), at + 10)
  bytes.set(word(sumOf(bytes, version === 4 ? at + 12 : at + 8, tcp, 6 + length)), tcp + 16)
  return { bytes, tcp }
}

/** Whether a frame's TCP checksum is right. */
function goodTcp(bytes: Uint8Array, tcp: number): boolean {
  const at = bytes[12] === 0x81 ? 18 : 14
  const from = bytes[at] >>> 4 === 4 ? at + 12 : at + 8
  return sumOf(bytes, tcp, bytes.length, sumOf(bytes, from, tcp, 6 + bytes.length - tcp)) === 0xffff
}

async function collect(queue: PacketQueue, count: number): Promise<Uint8Array[]> {
  const got: Uint8Array[] = []
  while (got.length < count) {
    await queue.wait({ signal: AbortSignal.timeout(60_000) })
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const slot = queue.slot(i)
      const at = queue.offset(slot)
      got.push(queue.memory.slice(at, at + queue.length(slot)))
      queue.release(slot)
    }
  }
  return got
}

function sendSegment(
  queue: PacketQueue,
  { bytes, tcp }: ReturnType<typeof segment>,
  version: 4 | 6,
  size: number,
): void {
  const slot = queue.claim()
  queue.memory.set(bytes, queue.offset(slot))
  queue.sendOffloaded(slot, bytes.length, tcp, 16, version === 4 ? SegmentType.tcp4 : SegmentType.tcp6, size)
}

describe.each([0, 18] as const)('with %i bytes inline at least', (minimumInline) => {
  test.each([
    [4, []],
    [6, []],
    [4, [0x81, 0, 0, 7]],
  ] as const)('a super-frame of TCP over IPv%i, tag %j: the device cuts it', async (version, tag) => {
    using wire = openPair({ transmitOnly: true }, { minimumInline })
    const { a, b } = wire
    const whole = segment(b.interface.macBytes, a.interface.macBytes, version, 5 * 1400 + 123, tag)
    sendSegment(a, whole, version, 1400)
    expect(a.submit()).toBe(1)
    expect(a.error).toBeNull()
    const header = whole.tcp + 20
    const request = requestAt(a, 0)
    expect(request.opcode).toBe('TSO')
    expect(fieldIn(request, layout.ethernetSegment.title, 'segmentSize')).toBe(1400)
    expect(fieldIn(request, layout.ethernetSegment.title, 'inlineHeaderSize')).toBe(header)
    expect(fieldIn(request, layout.dataSegment.title, 'byteCount')).toBe(5 * 1400 + 123)
    const cut = await collect(b, 6)
    expect(cut.map(({ length }) => length - header)).toEqual([1400, 1400, 1400, 1400, 1400, 123])
    expect(cut.every((frame) => goodTcp(frame, whole.tcp))).toBe(true)
    expect(Buffer.concat(cut.map((frame) => frame.subarray(header)))).toEqual(
      Buffer.from(whole.bytes.subarray(header)),
    )
    expect(cut.map((frame) => new DataView(frame.buffer).getUint32(whole.tcp + 4))).toEqual(
      [0, 1, 2, 3, 4, 5].map((i) => 256 + i * 1400),
    )
    expect(a.statistics()).toMatchObject({ transmitted: 1, refused: 0 })
  })

  test('frames of every kind in any order, through many laps of a small ring: all come, in order', async () => {
    using wire = openPair({ transmitOnly: true, batch: 16 }, { minimumInline })
    const { a, b } = wire
    const random = new Random(minimumInline + 7)
    const expected: Uint8Array[] = []
    const got: Uint8Array[] = []
    for (let round = 0; round < 100; round++) {
      const before = expected.length
      for (let i = random.integer(1, 9); i > 0; i--) {
        const payload = random.integer(1, 1400)
        const plain = segment(b.interface.macBytes, a.interface.macBytes, 4, payload)
        if (random.chance(1 / 3)) {
          const size = random.integer(300, 1400)
          const whole = segment(b.interface.macBytes, a.interface.macBytes, 4, payload + 2000)
          sendSegment(a, whole, 4, size)
          for (let at = 0; at < payload + 2000; at += size) {
            expected.push(whole.bytes.slice(54 + at, 54 + Math.min(at + size, payload + 2000)))
          }
        } else {
          const slot = a.claim()
          a.memory.set(plain.bytes, a.offset(slot))
          if (random.chance(1 / 2)) a.send(slot, plain.bytes.length)
          else a.sendOffloaded(slot, plain.bytes.length, 34, 16)
          expected.push(plain.bytes.slice(54))
        }
      }
      while (a.pending > 0) {
        a.submit()
        expect(a.error).toBeNull()
      }
      got.push(...(await collect(b, expected.length - before)))
    }
    expect(got.map((frame) => Buffer.from(frame.subarray(54)))).toEqual(
      expected.map((bytes) => Buffer.from(bytes)),
    )
    a.submit()
    expect(a.statistics()).toMatchObject({ refused: 0, invalid: 0 })
  })

  test('a tag that was stripped is inserted again: by the request, or in its inline header', async () => {
    using wire = openPair({ stripVlan: true, receiveFrames: 64 }, { minimumInline })
    const { a, b } = wire
    const tagged = segment(a.interface.macBytes, b.interface.macBytes, 4, 200, [0x81, 0, 0x60, 0x2a]).bytes
    const plain = segment(a.interface.macBytes, b.interface.macBytes, 4, 100).bytes
    for (const bytes of [tagged, plain]) {
      const slot = b.claim()
      b.memory.set(bytes, b.offset(slot))
      b.send(slot, bytes.length)
    }
    expect(b.submit()).toBe(2)
    const slots: number[] = []
    while (slots.length < 2) {
      await a.wait({ signal: AbortSignal.timeout(60_000) })
      const n = a.receive()
      for (let i = 0; i < n; i++) slots.push(a.slot(i))
    }
    expect(slots.map((slot) => [a.vlan(slot), a.length(slot)])).toEqual([
      [0x8100602a, tagged.length - 4],
      [0, plain.length],
    ])
    for (const slot of slots) {
      const at = a.offset(slot)
      a.memory.set(b.interface.macBytes, at)
      a.forward(slot)
    }
    expect(a.submit()).toBe(2)
    const request = requestAt(a, 0)
    expect(fieldIn(request, layout.ethernetSegment.title, 'insertVlan')).toBe(minimumInline === 0 ? 1 : 0)
    if (minimumInline > 0) {
      expect(fieldIn(request, layout.ethernetSegment.title, 'inlineHeaderSize')).toBe(minimumInline + 4)
    }
    const back = await collect(b, 2)
    for (const [i, sent] of [tagged, plain].entries()) {
      const wanted = sent.slice()
      wanted.set(b.interface.macBytes)
      expect(back[i]).toEqual(wanted)
    }
  })
})

describe('what the device cannot cut, this end refuses before it sees it', () => {
  test.each([
    ['UDP', SegmentType.udp, (_: Uint8Array) => {}],
    [
      'another protocol than the record says',
      SegmentType.tcp4,
      (bytes: Uint8Array) => bytes.fill(17, 23, 24),
    ],
    ['another version of IP', SegmentType.tcp6, (_: Uint8Array) => {}],
    ['a fragment', SegmentType.tcp4, (bytes: Uint8Array) => bytes.fill(0x20, 20, 21)],
    [
      'a TCP header that is longer than the frame',
      SegmentType.tcp4,
      (bytes: Uint8Array) => bytes.fill(0xf0, 46, 47),
    ],
    [
      'options of IP that hide the TCP header',
      SegmentType.tcp4,
      (bytes: Uint8Array) => bytes.fill(0x46, 14, 15),
    ],
  ] as const)('%s: EMSGSIZE, and the frames behind it go', async (_, type, spoil) => {
    using wire = openPair({ transmitOnly: true })
    const { a, b } = wire
    const payload = type === SegmentType.tcp4 ? 3000 : 2000
    const { bytes } = segment(b.interface.macBytes, a.interface.macBytes, 4, payload)
    spoil(bytes)
    const long = bytes[46] === 0xf0 ? bytes.subarray(0, 1600) : bytes
    const slot = a.claim()
    a.memory.set(long, a.offset(slot))
    if (bytes[46] === 0xf0) a.sendOffloaded(slot, long.length, 34, 16, type, 1600)
    else a.sendOffloaded(slot, long.length, 34, 16, type, 1400)
    const behind = segment(b.interface.macBytes, a.interface.macBytes, 4, 10).bytes
    const next = a.claim()
    a.memory.set(behind, a.offset(next))
    a.send(next, behind.length)
    expect(a.submit()).toBe(0)
    expect(a.error).toMatchObject({ code: 'EMSGSIZE' })
    expect(a.submit()).toBe(1)
    expect(await collect(b, 1)).toEqual([behind])
    expect(a.statistics()).toMatchObject({ refused: 1, refusals: { EMSGSIZE: 1 } })
  })
})

test('a frame that finds the ring full keeps what is to be done to it', async () => {
  // Three blocks each: sixteen places of the ring do not hold sixteen of them.
  using wire = openPair({
    transmitOnly: true,
    batch: 8,
    frames: new FramePool({ frameCount: 16, frameSize: 4096 }),
  })
  const { a, b } = wire
  expect(a.ringLayouts.transmit.capacity).toBe(16)
  const whole = segment(b.interface.macBytes, a.interface.macBytes, 4, 2500)
  for (let i = 0; i < 16; i++) sendSegment(a, whole, 4, 1400)
  expect(a.pending).toBe(16)
  let taken = 0
  while (a.pending > 0) {
    taken += a.submit()
    expect(a.error).toBeNull()
  }
  expect(taken).toBe(16)
  const frames = await collect(b, 32)
  expect(frames.every((frame) => goodTcp(frame, whole.tcp))).toBe(true)
})

describe('createQueuePair', () => {
  test('maxTsoHeader and stripVlan, for frames alone; refused in words', () => {
    using soft = softConnectX({ wire: 'loop' })
    using context = open(soft.devices()[0].name)
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(64)
    using pair = createQueuePair(domain, {
      type: 'RAW_PACKET',
      cq,
      maxSendWr: 8,
      maxReceiveWr: 8,
      maxTsoHeader: 144,
      stripVlan: true,
    })
    expect(pair.type).toBe('RAW_PACKET')
    const make = (options: object) => () =>
      createQueuePair(domain, { type: 'RC', cq, maxSendWr: 8, maxReceiveWr: 8, ...options })
    expect(thrownBy(make({ maxTsoHeader: 54 }))).toMatchObject({
      code: 'ENOTSUP',
      message: expect.stringContaining('"options.maxTsoHeader": frames alone are cut: RAW_PACKET'),
    })
    expect(thrownBy(make({ stripVlan: true }))).toMatchObject({
      code: 'ENOTSUP',
      message: expect.stringContaining('"options.stripVlan": frames alone have tags: RAW_PACKET'),
    })
    expect(make({ maxTsoHeader: 65536 })).toThrow('options.maxTsoHeader')
    expect(make({ stripVlan: 1 })).toThrow('options.stripVlan')
  })
})

test('stripVlan: of mlx5 alone', () => {
  using _ = softConnectX({ wire: 'loop' })
  expect(() => PacketQueue.open('mlx5_soft0', { backend: 'raw_packet_qp', stripVlan: true })).toThrow(
    '"options.stripVlan" must be left out, or with backend: \'mlx5\'',
  )
})

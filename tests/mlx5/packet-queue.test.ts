/** The driver under `PacketQueue`: what it writes into the rings, and that any mix of frames comes whole and in order. */

import { Arena } from 'ibverbs'
import { PacketQueue, type PacketQueueOptions } from 'ibverbs/ethernet'
import { decodeSendRequest, layout } from 'ibverbs/mlx5'
import { type SoftOptions, softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import { thrownBy } from '../beds/process.js'
import { Random } from '../beds/random.js'
import { overwritten } from './overwritten.js'

const wireMacs = ['02:00:0a:00:00:01', '02:00:0a:00:00:02']

function openPair(options?: PacketQueueOptions, softOptions?: Partial<SoftOptions>) {
  const soft = softConnectX({ wire: 'pair', macs: wireMacs, strict: true, ...softOptions })
  const a = PacketQueue.open('mlx5_soft0', { backend: 'mlx5', ...options })
  // Another driver, which would not share its faults.
  const b = PacketQueue.open('mlx5_soft1', { backend: 'raw_packet_qp', ...options })
  const close = (): void => {
    a.close()
    b.close()
    soft.close()
  }
  return { soft, a, b, [Symbol.dispose]: close }
}

/** The send request whose first block has this counter. */
function requestAt(queue: PacketQueue, counter: number) {
  const words = queue.rings.transmit
  const { records, capacity } = queue.ringLayouts.transmit
  const ring = new Uint8Array(words.buffer, words.byteOffset + records * 4, capacity * 64)
  const at = (counter % capacity) * 64
  const bytes = new Uint8Array(capacity * 64)
  bytes.set(ring.subarray(at))
  bytes.set(ring.subarray(0, at), bytes.length - at)
  return decodeSendRequest(bytes, { type: 'RAW_PACKET' })
}

const fieldOf = (request: ReturnType<typeof requestAt>, title: string, name: string) =>
  request.segments.find((segment) => segment.title === title)?.fields.find((field) => field.name === name)

function send(queue: PacketQueue, count: number, length = 60): void {
  const to = queue.interface.macBytes
  for (let i = 0; i < count; i++) {
    const slot = queue.claim()
    queue.memory.set([...to, ...to, 0x88, 0xb5], queue.offset(slot))
    queue.send(slot, length)
  }
  expect(queue.submit()).toBe(count)
}

describe('requests', () => {
  test('many frames to a request, 61 at most; the last of a batch alone asks for a completion', () => {
    using wire = openPair({ transmitOnly: true })
    const { a } = wire
    send(a, 100)
    const [first, second] = [requestAt(a, 0), requestAt(a, 16)]
    const count = (request: typeof first) =>
      request.segments.filter(({ title }) => title === layout.dataSegment.title).length
    expect([first.opcode, first.blocks, count(first)]).toEqual(['ENHANCED_MPSW', 16, 61])
    expect([second.opcode, second.blocks, count(second)]).toEqual(['ENHANCED_MPSW', 11, 39])
    const completion = [first, second].map(
      (request) => fieldOf(request, layout.controlSegment.title, 'completion')?.text,
    )
    expect(completion).toEqual(['ONLY_ERR', 'ALWAYS'])
  })

  test('a lone frame is a plain send', () => {
    using wire = openPair({ transmitOnly: true })
    send(wire.a, 1)
    expect(requestAt(wire.a, 0)).toMatchObject({ opcode: 'SEND', blocks: 1, index: 0 })
    send(wire.a, 2)
    expect(requestAt(wire.a, 1)).toMatchObject({ opcode: 'ENHANCED_MPSW', blocks: 1, index: 1 })
  })

  test('a frame whose checksums the device computes has a request of its own', () => {
    using wire = openPair({ transmitOnly: true })
    const { a } = wire
    const claim = (): number => {
      const slot = a.claim()
      a.memory.set([...a.interface.macBytes, ...a.interface.macBytes, 0x88, 0xb5], a.offset(slot))
      return slot
    }
    a.send(claim(), 60)
    a.send(claim(), 60)
    a.sendOffloaded(claim(), 60, 34, 6)
    a.send(claim(), 60)
    a.send(claim(), 60)
    expect(a.submit()).toBe(5)
    const checksums = (counter: number) =>
      fieldOf(requestAt(a, counter), layout.ethernetSegment.title, 'checksums')?.text
    expect([0, 1, 2].map((counter) => requestAt(a, counter).opcode)).toEqual([
      'ENHANCED_MPSW',
      'SEND',
      'ENHANCED_MPSW',
    ])
    expect([checksums(1), checksums(2)]).toEqual(['L3_CSUM | L4_CSUM', '0x00'])
  })

  test('hold a frame’s first 18 bytes where the device asks for them', () => {
    using wire = openPair({ transmitOnly: true }, { minimumInline: 18 })
    const { a } = wire
    send(a, 3, 100)
    const requests = [0, 1, 2].map((counter) => requestAt(a, counter))
    expect(requests.map(({ opcode, blocks }) => [opcode, blocks])).toEqual([
      ['SEND', 1],
      ['SEND', 1],
      ['SEND', 1],
    ])
    expect(fieldOf(requests[0], layout.ethernetSegment.title, 'inlineHeaderSize')?.value).toBe(18)
    expect(fieldOf(requests[0], layout.dataSegment.title, 'byteCount')?.value).toBe(82)
  })
})

describe.each([0, 18] as const)('with %i bytes inline at least', (minimumInline) => {
  test.each([
    ['a small ring', { frameCount: 64, batch: 16 }, 20_000],
    ['a large one', { frameCount: 4096, batch: 64 }, 60_000],
  ] as const)('%s: any mix of frames comes whole and in order, both ways', async (_, options, total) => {
    using wire = openPair({ ...options, promiscuous: true }, { minimumInline })
    const random = new Random(minimumInline + total)
    for (const [from, to] of [
      [wire.a, wire.b],
      [wire.b, wire.a],
    ]) {
      await mixed(from, to, total, random)
      expect(from.statistics()).toMatchObject({ transmitted: total, refused: 0, invalid: 0 })
      expect(to.statistics()).toMatchObject({ received: total, truncated: 0, dropped: 0, invalid: 0 })
    }
    expect(wire.soft.violations()).toEqual([])
  })
})

/** Bytes of frame `number`: its number behind the header, and its length follows from it. */
const lengthOf = (number: number): number => 18 + ((number * 7919) % 1497)

async function mixed(from: PacketQueue, to: PacketQueue, total: number, random: Random): Promise<void> {
  const view = (queue: PacketQueue) =>
    new DataView(queue.memory.buffer, queue.memory.byteOffset, queue.memory.length)
  const [sending, receiving] = [view(from), view(to)]
  let sent = 0
  let got = 0
  const receive = (): void => {
    for (let n = to.receive(); n > 0; n = to.receive()) {
      for (let i = 0; i < n; i++) {
        const { offsets, lengths } = to.columns
        const at = offsets[i]
        expect([receiving.getUint32(at + 14), lengths[i]]).toEqual([got, lengthOf(got)])
        if (lengths[i] > 19) expect(receiving.getUint8(at + lengths[i] - 1)).toBe(got & 0xff)
        got++
      }
      to.releaseMany(to.columns.slots, n)
    }
  }
  // Fewer under way than the other end has receives for: none is dropped.
  const window = to.frames.frameCount / 4
  while (got < total) {
    const most = Math.min(random.pick([1, 2, 3, 17, 61, 62, 130]), total - sent, window - (sent - got))
    for (let i = 0; i < most; i++) {
      const slot = from.claim()
      if (slot < 0) break
      const at = from.offset(slot)
      const length = lengthOf(sent)
      from.memory.set([...to.interface.macBytes, ...from.interface.macBytes, 0x88, 0xb5], at)
      sending.setUint32(at + 14, sent)
      if (length > 19) sending.setUint8(at + length - 1, sent & 0xff)
      // A checksum to be computed where the device finds none to compute: the frame stays as it is.
      if (random.chance(1 / 8) && length > 60) from.sendOffloaded(slot, length, 34, 6)
      else from.send(slot, length)
      sent++
    }
    from.submit()
    expect(from.error).toBeNull()
    receive()
    if (got < sent && random.chance(1 / 16)) {
      await to.wait({ signal: AbortSignal.timeout(60_000) })
      receive()
    }
  }
  while (from.pending > 0) from.submit()
}

test('two hundred sleeps: none is lost', async () => {
  using wire = openPair()
  const { a, b } = wire
  const echo = async (): Promise<void> => {
    for (;;) {
      await b.wait()
      const n = b.receive()
      for (let i = 0; i < n; i++) {
        const at = b.offset(b.slot(i))
        const from = b.memory.slice(at + 6, at + 12)
        b.memory.copyWithin(at + 6, at, at + 6)
        b.memory.set(from, at)
        b.forward(b.slot(i))
      }
      b.submit()
    }
  }
  const echoing = echo().catch((error: NodeJS.ErrnoException) => error.code)
  for (let i = 0; i < 200; i++) {
    const slot = a.claim()
    a.memory.set([...b.interface.macBytes, ...a.interface.macBytes, 0x88, 0xb5, i], a.offset(slot))
    a.send(slot, 60)
    expect(a.submit()).toBe(1)
    expect(await a.wait({ signal: AbortSignal.timeout(60_000) })).toBe(1)
    expect(a.receive()).toBe(1)
    expect(a.memory[a.offset(a.slot(0)) + 14]).toBe(i)
    a.release(a.slot(0))
  }
  b.close()
  expect(await echoing).toBe('ERR_IBVERBS_CLOSED')
})

test('over memory that begins in the middle of a page', async () => {
  const bytes = new Uint8Array(new SharedArrayBuffer(64 * 2048 + 4096), 192, 64 * 2048)
  using wire = openPair({ promiscuous: true })
  using queue = PacketQueue.open('mlx5_soft0', {
    ...{ backend: 'mlx5', promiscuous: true, batch: 16, frameSize: 2048 },
    arena: Arena.over(bytes),
  })
  const random = new Random(5)
  await mixed(queue, wire.b, 3000, random)
  wire.a.close()
  await mixed(wire.b, queue, 3000, random)
  expect(queue.statistics()).toMatchObject({ received: 3000, transmitted: 3000, invalid: 0 })
})

test("timestamps: 'hardware': when each frame came, by the device's clock in the system's time", async () => {
  using wire = openPair()
  using queue = PacketQueue.open('mlx5_soft0', {
    ...{ backend: 'mlx5', timestamps: 'hardware', flows: [{ etherType: 0x88b7 }] },
  })
  const { b } = wire
  const own = queue.interface.macBytes
  const before = Date.now()
  for (let i = 0; i < 20; i++) {
    const slot = b.claim()
    b.memory.set([...own, ...b.interface.macBytes, 0x88, 0xb7], b.offset(slot))
    b.send(slot, 60 + i)
  }
  expect(b.submit()).toBe(20)
  let last = 0n
  for (let got = 0; got < 20; ) {
    await queue.wait({ signal: AbortSignal.timeout(60_000) })
    const n = queue.receive()
    for (let i = 0; i < n; i++, got++) {
      const slot = queue.slot(i)
      const time = BigInt(queue.seconds(slot)) * 1_000_000_000n + BigInt(queue.nanoseconds(slot))
      expect(time).toBeGreaterThanOrEqual(last)
      last = time
      // The kernel relates the two clocks at its own times.
      expect(Number(time / 1_000_000n)).toBeGreaterThanOrEqual(before - 60_000)
      expect(Number(time / 1_000_000n)).toBeLessThanOrEqual(Date.now() + 60_000)
      expect([queue.length(slot), queue.originalLength(slot), queue.flags(slot)]).toEqual([
        60 + got,
        60 + got,
        0,
      ])
      queue.forward(slot)
    }
  }
  expect(queue.submit()).toBeGreaterThan(0)
  expect(thrownBy(() => PacketQueue.open('mlx5_soft0', { backend: 'mlx5', timestamps: true })).message).toBe(
    "\"options.timestamps\" must be 'hardware' with backend: 'mlx5', whose frames pass by the kernel, not true",
  )
})

test('frames that were accepted are sent, though the queue closes at once', async () => {
  using wire = openPair({ promiscuous: true })
  const { a, b } = wire
  for (let i = 0; i < 5; i++) send(a, 61)
  a.close()
  let got = 0
  while (got < 305) {
    await b.wait({ signal: AbortSignal.timeout(60_000) })
    const n = b.receive()
    b.releaseMany(b.columns.slots, n)
    got += n
  }
  expect(got).toBe(305)
})

test('rings that their user overwrites cost the queue at most, and another queue goes on', () =>
  overwritten({ seed: 12, rounds: 40 }))

test('an interface with no ConnectX behind it: refused by name', () => {
  using _ = softConnectX({ wire: 'loop' })
  expect(thrownBy(() => PacketQueue.open('lo', { backend: 'mlx5' }))).toMatchObject({ code: 'ENODEV' })
})

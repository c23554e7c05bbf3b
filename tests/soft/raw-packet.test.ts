/** Raw packet queue pairs through the unmodified libibverbs and libmlx5. */
import { CompletionFlag, open } from 'ibverbs'
import { softConnectX } from 'ibverbs/soft'
import { describe, expect, test } from 'vitest'
import {
  broadcast,
  completions,
  etherType,
  expectFrames,
  frame,
  frameOf,
  hex,
  send,
  softPair,
} from './raw.js'

/** IPv4 with UDP, of 32 bytes of payload, with these two checksums. */
function datagram(to: Uint8Array, from: Uint8Array, ipChecksum: number, udpChecksum: number): Uint8Array {
  const bytes = frame(to, from, 0x0800, 14 + 20 + 8 + 32)
  const word = (value: number): number[] => [value >> 8, value & 0xff]
  bytes.set([0x45, 0, ...word(60), 0, 1, 0, 0, 64, 17, ...word(ipChecksum), 10, 0, 0, 1, 10, 0, 0, 2], 14)
  bytes.set([...word(4000), ...word(4001), ...word(40), ...word(udpChecksum)], 34)
  return bytes
}

/** The Internet checksum (RFC 1071) of these bytes and a sum. */
function checksum(bytes: Uint8Array, first = 0): number {
  let sum = first
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | bytes[i + 1]
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** The datagram with both checksums right. */
function whole(bytes: Uint8Array): Uint8Array {
  const right = Uint8Array.from(bytes)
  right.fill(0, 24, 26)
  right.fill(0, 40, 42)
  const ip = checksum(right.subarray(14, 34))
  let pseudo = 17 + 40
  for (let i = 26; i < 34; i += 2) pseudo += (right[i] << 8) | right[i + 1]
  const udp = checksum(right.subarray(34), pseudo)
  right.set([ip >> 8, ip & 0xff], 24)
  right.set([udp >> 8, udp & 0xff], 40)
  return right
}

test('needs no peer: RESET, INIT, RTR, RTS; and takes no GID', () => {
  using soft = softConnectX()
  const context = open(soft.devices()[0].name)
  const domain = context.allocateProtectionDomain()
  const cq = context.createCompletionQueue(256)
  const pair = domain.createQueuePair({ type: 'RAW_PACKET', cq })
  expect(pair.state).toBe('RESET')
  expect(() => pair.modify({ state: 'INIT' })).toThrow(
    expect.objectContaining({
      message: expect.stringContaining('RESET → INIT of a RAW_PACKET queue pair needs port'),
    }),
  )
  expect(() => pair.modify({ state: 'INIT', port: 1, pkeyIndex: 0 })).toThrow(
    expect.objectContaining({ message: expect.stringContaining('does not take pkeyIndex') }),
  )
  pair.initialize()
  expect(pair.state).toBe('INIT')
  pair.connect()
  expect(pair.state).toBe('RTS')
  expect(pair.query()).toMatchObject({ state: 'RTS', port: 1, maxSendWr: 64 })
  expect(() => domain.createQueuePair({ type: 'RAW_PACKET', cq, gidIndex: 0 })).toThrow(
    expect.objectContaining({ message: expect.stringContaining('"options.gidIndex" must be left out') }),
  )
  expect(context.queryDevice().rawPacketCapabilities).toEqual(['CVLAN_STRIPPING', 'SCATTER_FCS', 'IP_CSUM'])
  context.close()
})

test('sends no frame longer than a ConnectX’s largest MTU and the header, where no interface gives one', () => {
  using wire = softPair()
  const { pair, memory } = wire.a
  expect(pair.longestMessage).toBe(9978 + 22)
  const send = pair.prepareSend({ memory })
  expect(() => send.post(1, 0, 10_001)).toThrow(
    '"length" must be an integer from 0 to 10000, the queue pair\'s longest message, not 10001',
  )
  expect(send.post(1, 0, 10_000)).toBe(0)
})

describe('frames', () => {
  test('of every length from 14 to 1514, every byte', async () => {
    using wire = softPair()
    const { a, b } = wire
    b.pair.createFlow({})
    for (let first = 14; first <= 1514; first += 32) {
      const sent = Array.from({ length: Math.min(32, 1515 - first) }, (_, i) =>
        frame(broadcast, a.mac, etherType, first + i, i),
      )
      expectFrames(b, sent.length)
      await send(a, sent)
      const rows = await completions(b, sent.length)
      expect(rows.map((row) => hex(frameOf(b, row)))).toEqual(sent.map(hex))
      expect(
        new Set(rows.map(({ opcode, status, queuePair }) => `${opcode} ${status} ${queuePair}`)),
      ).toEqual(new Set([`RECV SUCCESS ${b.pair.number}`]))
    }
  })

  test.each([0, 18] as const)(
    'gathered from several places, and scattered, with %i bytes inline at least',
    async (minimumInline) => {
      using wire = softPair({ maxSendSge: 4, maxReceiveSge: 3 }, { minimumInline })
      const { a, b } = wire
      b.pair.createFlow({ destinationMac: b.mac })
      const sent = frame(b.mac, a.mac, etherType, 1000, 1)
      // 5 bytes, 9, 86 and 900, apart and out of order.
      const places: [number, number, number][] = [
        [9000, 0, 5],
        [300, 5, 14],
        [7001, 14, 100],
        [20_000, 100, 1000],
      ]
      for (const [at, from, to] of places) a.memory.bytes.set(sent.subarray(from, to), at)
      const elements = places.map(([offset, from, to]) => ({ memory: a.memory, offset, length: to - from }))
      b.pair
        .prepareReceive({
          elements: [
            { memory: b.memory, offset: 1, length: 60 },
            { memory: b.memory, offset: 5000, length: 1 },
            { memory: b.memory, offset: 100, length: 2000 },
          ],
        })
        .post(3)
      expect(b.pair.submit()).toBe(1)
      a.pair.prepareSend({ elements }).post(4)
      expect(a.pair.submit()).toBe(1)
      expect(await completions(a, 1)).toMatchObject([{ cookie: 4, status: 'SUCCESS', opcode: 'SEND' }])
      expect(await completions(b, 1)).toMatchObject([{ cookie: 3, status: 'SUCCESS', byteLength: 1000 }])
      const got = [
        b.memory.bytes.subarray(1, 61),
        b.memory.bytes.subarray(5000, 5001),
        b.memory.bytes.subarray(100, 1039),
      ]
      expect(hex(Buffer.concat(got))).toBe(hex(sent))
    },
  )

  test('inline: the memory belongs to the caller again at once', async () => {
    using wire = softPair({ maxInline: 200 })
    const { a, b } = wire
    b.pair.createFlow({})
    expectFrames(b, 16)
    const sent = Array.from({ length: 16 }, (_, i) => frame(b.mac, a.mac, etherType, 60 + i * 9, i))
    const request = a.pair.prepareSend({ memory: a.memory, inline: true })
    for (const [i, bytes] of sent.entries()) {
      a.memory.bytes.set(bytes)
      request.post(i, 0, bytes.length)
      expect(a.pair.submit()).toBe(1)
      a.memory.bytes.fill(0, 0, bytes.length)
    }
    const rows = await completions(b, 16)
    expect(rows.map((row) => hex(frameOf(b, row)))).toEqual(sent.map(hex))
    request.post(99, 0, a.pair.capabilities.maxInline + 1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      cookie: 99,
      message: expect.stringContaining('bytes inline: the most is'),
    })
  })

  test('a signalled send retires the unsignalled ones before it', async () => {
    using wire = softPair({ maxSendWr: 32 })
    const { a, b } = wire
    b.pair.createFlow({})
    const silent = a.pair.prepareSend({ memory: a.memory, signaled: false })
    const told = a.pair.prepareSend({ memory: a.memory })
    a.memory.bytes.set(frame(b.mac, a.mac, etherType, 64))
    for (let round = 0; round < 20; round++) {
      expectFrames(b, 11)
      for (let i = 0; i < 10; i++) expect(silent.post(i, 0, 64)).toBe(0)
      expect(told.post(1000 + round, 0, 64)).toBe(0)
      expect(a.pair.submit()).toBe(11)
      expect((await completions(a, 1)).map(({ cookie }) => cookie)).toEqual([1000 + round])
      expect(a.pair.sendOutstanding).toBe(0)
      await completions(b, 11)
    }
  })

  test('loses a frame without a receive, and receives the next', async () => {
    using wire = softPair()
    const { a, b } = wire
    b.pair.createFlow({})
    await send(a, [frame(b.mac, a.mac, etherType, 60, 1)])
    expectFrames(b, 1)
    const second = frame(b.mac, a.mac, etherType, 60, 2)
    await send(a, [second])
    const rows = await completions(b, 1)
    expect(rows.map((row) => hex(frameOf(b, row)))).toEqual([hex(second)])
  })

  test('fails the queue on a frame longer than its receive: LOC_LEN_ERR', async () => {
    using wire = softPair()
    const { a, b } = wire
    b.pair.createFlow({})
    b.pair.prepareReceive({ memory: b.memory }).post(7, 0, 100)
    b.pair.submit()
    await send(a, [frame(b.mac, a.mac, etherType, 101)])
    expect(await completions(b, 1)).toMatchObject([
      { cookie: 7, status: 'LOC_LEN_ERR', queuePair: b.pair.number },
    ])
  })
})

describe('checksums', () => {
  test('the device computes them on request, and reports those that it verified', async () => {
    using wire = softPair()
    const { a, b } = wire
    b.pair.createFlow({})
    expectFrames(b, 4)
    const wrong = datagram(b.mac, a.mac, 0x1234, 0x5678)
    const right = whole(wrong)
    await send(a, [wrong], { checksum: true })
    await send(a, [wrong])
    await send(a, [right])
    const other = frame(b.mac, a.mac, etherType, 74)
    await send(a, [other], { checksum: true })
    const rows = await completions(b, 4)
    expect(rows.map((row) => hex(frameOf(b, row)))).toEqual([right, wrong, right, other].map(hex))
    expect(rows.map(({ flags }) => flags & CompletionFlag.IP_CSUM_OK)).toEqual([4, 0, 4, 0])
  })

  test('are for raw packets only', () => {
    using soft = softConnectX()
    const context = open(soft.devices()[0].name)
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(256)
    const pair = domain.createQueuePair({ type: 'UC', cq })
    const memory = domain.registerMemory(4096)
    expect(() => pair.prepareSend({ memory, checksum: true })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARG_TYPE',
        message: expect.stringContaining('"options.checksum"'),
      }),
    )
    context.close()
  })
})

test('a raw packet queue pair refuses unsupported options by name', () => {
  using wire = softPair()
  const { pair, memory } = wire.a
  const remote = memory.remote
  expect(() => pair.prepareWrite({ memory, remote })).toThrow(expect.objectContaining({ code: 'ENOTSUP' }))
  expect(() => pair.prepareRead({ memory, remote })).toThrow(expect.objectContaining({ code: 'ENOTSUP' }))
  expect(() => pair.prepareSend({ memory, immediate: 1 })).toThrow(
    expect.objectContaining({ message: expect.stringContaining('"options.immediate"') }),
  )
})

import { describe, expect, it } from 'vitest'
import { completion, completions, expectBytes, outcome, pattern, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** Both directions of a connection, one after the other. */
const bothWays = [0, 1] as const

// The bed's MTU is 1024: one packet, just one, two, and many.
const sizes = [0, 1, 2, 1023, 1024, 1025, 64 << 10]

describe.each(['RC', 'UC'] as const)('%s', (type) => {
  it.each(sizes)('sends %i bytes both ways', async (size) => {
    const sides = rxe.connected(type)
    for (const from of bothWays) {
      const [a, b] = from ? [sides[1], sides[0]] : sides
      const sent = pattern(size, size + from)
      a.memory.bytes.set(sent, 100)
      b.memory.bytes.fill(0xee)
      b.pair.prepareReceive({ memory: b.memory }).post(7, 10, size + 5)
      expect(b.pair.submit()).toBe(1)
      a.pair.prepareSend({ memory: a.memory }).post(9, 100, size)
      expect(a.pair.submit()).toBe(1)
      expect(await completion(b.cq)).toMatchObject({
        cookie: 7,
        status: 'SUCCESS',
        opcode: 'RECV',
        byteLength: size,
        queuePair: b.pair.number,
        immediate: undefined,
      })
      expect(await completion(a.cq)).toMatchObject({
        cookie: 9,
        status: 'SUCCESS',
        opcode: 'SEND',
        queuePair: a.pair.number,
      })
      expectBytes(b.memory.bytes.subarray(10, 10 + size), sent)
      expectBytes(b.memory.bytes.subarray(0, 10), new Uint8Array(10).fill(0xee))
      expectBytes(b.memory.bytes.subarray(10 + size, 30 + size), new Uint8Array(20).fill(0xee))
    }
  })

  it.each([0, 0xdeadbeef, 0xffffffff])('sends immediate data %i', async (immediate) => {
    const [a, b] = rxe.connected(type)
    a.memory.bytes.set(pattern(33, 1))
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory, immediate }).post(2, 0, 33)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({
      cookie: 1,
      status: 'SUCCESS',
      opcode: 'RECV',
      immediate,
      byteLength: 33,
    })
    expectBytes(b.memory.bytes.subarray(0, 33), pattern(33, 1))
    await completion(a.cq)
  })

  it('sends another immediate with each post', async () => {
    const [a, b] = rxe.connected(type)
    const receive = b.pair.prepareReceive({ memory: b.memory })
    for (let i = 0; i < 3; i++) receive.post(i)
    b.pair.submit()
    const send = a.pair.prepareSend({ memory: a.memory, immediate: 5 })
    for (const immediate of [5, 6, 0x80000000]) {
      send.immediate = immediate
      expect(send.immediate).toBe(immediate)
      send.post(immediate, 0, 0)
    }
    expect(a.pair.submit()).toBe(3)
    expect((await completions(b.cq, 3)).map((each) => each.immediate)).toEqual([5, 6, 0x80000000])
    await completions(a.cq, 3)
  })

  it.each(sizes)('writes %i bytes both ways', async (size) => {
    const sides = rxe.connected(type)
    for (const from of bothWays) {
      const [a, b] = from ? [sides[1], sides[0]] : sides
      const written = pattern(size, size + 3)
      a.memory.bytes.set(written, 8)
      b.memory.bytes.fill(0xee)
      // The peer gets no completion of a write: the send after it has one.
      b.pair.prepareReceive({ memory: b.memory }).post(1, 0, 0)
      b.pair.submit()
      a.pair.prepareWrite({ memory: a.memory, remote: b.memory.remote }).post(2, 8, size, 1000)
      a.pair.prepareSend({ memory: a.memory }).post(3, 0, 0)
      expect(a.pair.submit()).toBe(2)
      expect(outcome(await completions(b.cq, 1))).toEqual([[1, 'SUCCESS']])
      const done = await completions(a.cq, 2)
      expect(done.map(({ cookie, opcode }) => [cookie, opcode])).toEqual([
        [2, 'RDMA_WRITE'],
        [3, 'SEND'],
      ])
      expectBytes(b.memory.bytes.subarray(1000, 1000 + size), written)
      expectBytes(b.memory.bytes.subarray(0, 1000), new Uint8Array(1000).fill(0xee))
      expectBytes(b.memory.bytes.subarray(1000 + size, 1100 + size), new Uint8Array(100).fill(0xee))
    }
  })

  it.each([0, 1, 1025, 64 << 10])('writes %i bytes with immediate', async (size) => {
    const [a, b] = rxe.connected(type)
    const written = pattern(size, 9)
    a.memory.bytes.set(written)
    b.pair.prepareReceive({ memory: b.memory }).post(11, 0, 0)
    b.pair.submit()
    a.pair
      .prepareWrite({ memory: a.memory, remote: b.memory.remote, immediate: 0xcafe })
      .post(12, 0, size, 4096)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({
      cookie: 11,
      status: 'SUCCESS',
      opcode: 'RECV_RDMA_WITH_IMM',
      immediate: 0xcafe,
    })
    expect(await completion(a.cq)).toMatchObject({ cookie: 12, status: 'SUCCESS', opcode: 'RDMA_WRITE' })
    expectBytes(b.memory.bytes.subarray(4096, 4096 + size), written)
  })

  it('sends inline, and the bytes may change at once', async () => {
    const [a, b] = rxe.connected(type, { maxInline: 200 })
    expect(a.pair.capabilities.maxInline).toBeGreaterThanOrEqual(200)
    const receive = b.pair.prepareReceive({ memory: b.memory })
    for (const [i, size] of [0, 1, 63, 200].entries()) receive.post(i, i * 1000, size)
    b.pair.submit()
    const send = a.pair.prepareSend({ memory: a.memory, inline: true })
    for (const [i, size] of [0, 1, 63, 200].entries()) {
      a.memory.bytes.set(pattern(size, i), 50)
      send.post(i, 50, size)
      expect(a.pair.submit()).toBe(1)
      a.memory.bytes.fill(0)
    }
    const done = await completions(b.cq, 4)
    expect(done.map(({ cookie, byteLength }) => [cookie, byteLength])).toEqual([
      [0, 0],
      [1, 1],
      [2, 63],
      [3, 200],
    ])
    for (const [i, size] of [0, 1, 63, 200].entries()) {
      expectBytes(b.memory.bytes.subarray(i * 1000, i * 1000 + size), pattern(size, i))
    }
    await completions(a.cq, 4)
  })

  it('writes inline', async () => {
    const [a, b] = rxe.connected(type, { maxInline: 100 })
    a.memory.bytes.set(pattern(100, 4))
    b.pair.prepareReceive({ memory: b.memory }).post(1, 0, 0)
    b.pair.submit()
    a.pair.prepareWrite({ memory: a.memory, remote: b.memory.remote, inline: true }).post(1, 0, 100, 77)
    a.pair.prepareSend({}).post(2)
    expect(a.pair.submit()).toBe(2)
    a.memory.bytes.fill(0)
    await completion(b.cq)
    expectBytes(b.memory.bytes.subarray(77, 177), pattern(100, 4))
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
    ])
  })

  it.each([2, 3, 4])('gathers and scatters %i elements', async (count) => {
    const [a, b] = rxe.connected(type, { maxSendSge: count, maxReceiveSge: count })
    const second = a.domain.registerMemory(4096)
    const sent = pattern(count * 1000, count)
    // Pieces of unequal size, one of them empty, from two regions, not in the order of their addresses.
    const cuts = [0, 1, 1, 1500, count * 1000].slice(0, count).concat(count * 1000)
    const elements = cuts.slice(0, -1).map((start, i) => {
      const memory = i % 2 ? second : a.memory
      const offset = 10_000 * (i % 2 ? 0 : count - i) + i
      memory.bytes.set(sent.subarray(start, cuts[i + 1]), offset)
      return { memory, offset, length: cuts[i + 1] - start }
    })
    const places = Array.from({ length: count }, (_, i) => ({
      memory: b.memory,
      offset: 9000 * (count - i),
      length: 1000,
    }))
    b.pair.prepareReceive({ elements: places }).post(1)
    b.pair.submit()
    a.pair.prepareSend({ elements }).post(2)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: count * 1000 })
    for (const [i, { offset }] of places.entries()) {
      expectBytes(b.memory.bytes.subarray(offset, offset + 1000), sent.subarray(i * 1000, i * 1000 + 1000))
    }
    expect(outcome(await completions(a.cq, 1))).toEqual([[2, 'SUCCESS']])
  })

  it('gathers a write', async () => {
    const [a, b] = rxe.connected(type, { maxSendSge: 3 })
    const written = pattern(3000, 8)
    a.memory.bytes.set(written)
    const elements = [
      { memory: a.memory, offset: 0, length: 1 },
      { memory: a.memory, offset: 1, length: 2000 },
      { memory: a.memory, offset: 2001, length: 999 },
    ]
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareWrite({ elements, remote: b.memory.remote, immediate: 1 }).post(5, 0, 0, 12_345)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS' })
    expectBytes(b.memory.bytes.subarray(12_345, 15_345), written)
    await completion(a.cq)
  })

  it('keeps the order of a batch', async () => {
    const [a, b] = rxe.connected(type)
    const receive = b.pair.prepareReceive({ memory: b.memory })
    const send = a.pair.prepareSend({ memory: a.memory })
    for (let i = 0; i < 64; i++) {
      expect(receive.post(1000 + i, i * 100, 100)).toBe(0)
      a.memory.bytes.set(pattern(100, i), i * 100)
      expect(send.post(i, i * 100, 100 - i)).toBe(0)
    }
    expect(b.pair.submit()).toBe(64)
    expect(a.pair.submit()).toBe(64)
    const received = await completions(b.cq, 64)
    expect(received.map((each) => each.cookie)).toEqual(Array.from({ length: 64 }, (_, i) => 1000 + i))
    expect(received.map((each) => each.byteLength)).toEqual(Array.from({ length: 64 }, (_, i) => 100 - i))
    for (let i = 0; i < 64; i++) {
      expectBytes(b.memory.bytes.subarray(i * 100, i * 100 + 100 - i), pattern(100, i).subarray(0, 100 - i))
    }
    expect((await completions(a.cq, 64)).map((each) => each.cookie)).toEqual(
      Array.from({ length: 64 }, (_, i) => i),
    )
  })
})

describe('RC', () => {
  it.each([1, 2, 1024, 1025, 64 << 10])('reads %i bytes both ways', async (size) => {
    const sides = rxe.connected('RC')
    for (const from of bothWays) {
      const [a, b] = from ? [sides[1], sides[0]] : sides
      const there = pattern(size, size + 5)
      b.memory.bytes.set(there, 999)
      a.memory.bytes.fill(0xee)
      a.pair.prepareRead({ memory: a.memory, remote: b.memory.remote }).post(4, 64, size, 999)
      expect(a.pair.submit()).toBe(1)
      expect(await completion(a.cq)).toMatchObject({
        cookie: 4,
        status: 'SUCCESS',
        opcode: 'RDMA_READ',
        queuePair: a.pair.number,
      })
      expectBytes(a.memory.bytes.subarray(64, 64 + size), there)
      expectBytes(a.memory.bytes.subarray(0, 64), new Uint8Array(64).fill(0xee))
      expectBytes(a.memory.bytes.subarray(64 + size, 100 + size), new Uint8Array(36).fill(0xee))
    }
  })

  it('scatters a read', async () => {
    const [a, b] = rxe.connected('RC', { maxSendSge: 4 })
    b.memory.bytes.set(pattern(4000, 2), 1)
    const elements = [3000, 0, 1000, 2000].map((offset) => ({
      memory: a.memory,
      offset: offset + 7,
      length: 1000,
    }))
    a.pair.prepareRead({ elements, remote: b.memory.remote }).post(1, 0, 0, 1)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(a.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', opcode: 'RDMA_READ' })
    for (const [i, { offset }] of elements.entries()) {
      expectBytes(
        a.memory.bytes.subarray(offset, offset + 1000),
        pattern(4000, 2).subarray(i * 1000, i * 1000 + 1000),
      )
    }
  })

  it('fences a send behind the read before it', async () => {
    const [a, b] = rxe.connected('RC')
    const there = pattern(64 << 10, 6)
    b.memory.bytes.set(there)
    b.pair.prepareReceive({ memory: b.memory }).post(1, 64 << 10, 64 << 10)
    b.pair.submit()
    // The send carries the bytes that the read fetches: right only if it waits for it.
    a.pair.prepareRead({ memory: a.memory, remote: b.memory.remote }).post(2, 0, 64 << 10, 0)
    a.pair.prepareSend({ memory: a.memory, fence: true }).post(3, 0, 64 << 10)
    expect(a.pair.submit()).toBe(2)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: 64 << 10 })
    expectBytes(b.memory.bytes.subarray(64 << 10), there)
    expect(outcome(await completions(a.cq, 2))).toEqual([
      [2, 'SUCCESS'],
      [3, 'SUCCESS'],
    ])
  })

  it('writes and reads at once in both directions', async () => {
    const [a, b] = rxe.connected('RC')
    for (const [seed, side] of [a, b].entries()) side.memory.bytes.set(pattern(16 << 10, seed))
    for (const [side, peer] of [
      [a, b],
      [b, a],
    ]) {
      const write = side.pair.prepareWrite({ memory: side.memory, remote: peer.memory.remote })
      const read = side.pair.prepareRead({ memory: side.memory, remote: peer.memory.remote })
      for (let i = 0; i < 8; i++) {
        write.post(i, i << 11, 1 << 11, (32 << 10) + (i << 11))
        read.post(100 + i, (64 << 10) + (i << 11), 1 << 11, i << 11)
      }
    }
    expect(a.pair.submit()).toBe(16)
    expect(b.pair.submit()).toBe(16)
    for (const side of [a, b]) {
      expect(outcome(await completions(side.cq, 16))).toEqual(
        Array.from({ length: 16 }, (_, i) => [i % 2 ? 100 + (i >> 1) : i >> 1, 'SUCCESS']),
      )
    }
    for (const [seed, side] of [b, a].entries()) {
      const peers = pattern(16 << 10, 1 - seed)
      expectBytes(side.memory.bytes.subarray(32 << 10, 48 << 10), pattern(16 << 10, seed))
      expectBytes(side.memory.bytes.subarray(64 << 10, 80 << 10), pattern(16 << 10, seed))
      expectBytes(side.memory.bytes.subarray(0, 16 << 10), peers)
    }
  })
})

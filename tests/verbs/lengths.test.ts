/**
 * The longest message. mlx5 reserves bit 31 of an element's length (mlx5dv.h, MLX5_INLINE_SEG), and libmlx5 does not
 * check it: a write of 2^31 bytes wrote nothing, one of 2^31 + 8 wrote eight bytes of the request itself, both with
 * SUCCESS.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import type { MemoryRegion } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import { checkStretch, mostOfElement } from '../../dist/verbs/request/ring.js'
import {
  completion,
  completions,
  expectBytes,
  pattern,
  type Side,
  soft,
  thrownBy,
  useRxe,
} from '../beds/rxe.js'

const rxe = useRxe()
const words = ", the queue pair's longest message"

/** A region of `bytes` bytes, only the first of which the test ever touches. */
function large(side: Side, bytes: number): MemoryRegion {
  return side.domain.registerMemory(new SharedArrayBuffer(bytes))
}

describe('the longest message', () => {
  it('is the port’s own, and of UD a packet of the port’s MTU', () => {
    const port = rxe.context().queryPort()
    expect(port.maxMessageSize).toBe(soft ? 2 ** 30 : 2 ** 23)
    for (const type of ['RC', 'UC'] as const)
      expect(rxe.side(type).pair.longestMessage).toBe(port.maxMessageSize)
    expect(rxe.side('UD').pair.longestMessage).toBe(1024)
  })

  it('limits a post, with an error by name', () => {
    const [a, b] = rxe.connected('RC')
    const { longestMessage } = a.pair
    const memory = large(a, longestMessage + 8)
    const remote = { ...b.memory.remote, length: 2 ** 33 }
    const requests = [
      a.pair.prepareSend({ memory }),
      a.pair.prepareWrite({ memory, remote }),
      a.pair.prepareRead({ memory, remote }),
    ]
    for (const request of requests) {
      const error = thrownBy(() => request.post(1, 0, longestMessage + 1))
      expect(error).toMatchObject({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
      expect(error.message).toBe(
        `"length" must be an integer from 0 to ${longestMessage}${words}, not ${longestMessage + 1}`,
      )
      expect(thrownBy(() => request.post(1)).message).toContain(`${words}, not ${longestMessage + 8}`)
      expect(thrownBy(() => request.post(1, 10, longestMessage)).message).toBe(
        `"length" must be an integer from 0 to ${longestMessage - 2}, not ${longestMessage}`,
      )
    }
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toBe(null)
  })

  it('counts all elements together', () => {
    const [a, b] = rxe.connected('RC', { maxSendSge: 17 })
    const { longestMessage } = a.pair
    const memory = large(a, longestMessage / 16)
    const remote = { ...b.memory.remote, length: 2 ** 33 }
    const elements = [...Array(16).fill({ memory }), { memory, length: 1 }]
    for (const prepare of [
      () => a.pair.prepareSend({ elements }),
      () => a.pair.prepareWrite({ elements, remote }),
      () => a.pair.prepareRead({ elements, remote }),
    ]) {
      expect(thrownBy(prepare).message).toBe(
        `"options.elements" must be of at most ${longestMessage} bytes${words}, not ${longestMessage + 1}`,
      )
    }
    expect(a.pair.prepareSend({ elements: elements.slice(0, 16) }).post(1)).toBe(0)
  })

  it('of UD is refused before rxe would lose it silently', async () => {
    const [a, b] = rxe.connected('UD')
    b.pair.prepareReceive({ memory: b.memory }).post(1)
    b.pair.submit()
    const send = a.pair.prepareSend({
      memory: a.memory,
      addressHandle: a.domain.createAddressHandle(b.pair.endpoint),
      remoteQueuePair: b.pair.number,
      remoteQueueKey: 0x11111111,
    })
    expect(thrownBy(() => send.post(2, 0, 1025)).message).toBe(
      `"length" must be an integer from 0 to 1024${words}, not 1025`,
    )
    a.memory.bytes.set(pattern(1024, 1))
    send.post(3, 0, 1024)
    expect(a.pair.submit()).toBe(1)
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, byteLength: 40 + 1024 })
    expectBytes(b.memory.bytes.subarray(40, 40 + 1024), pattern(1024, 1))
    await completion(a.cq)
  })

  // A GiB takes seconds; natively, rxe's 8 MiB test the same.
  it.skipIf(soft)('arrives complete', async () => {
    const [a, b] = rxe.connected('RC', { size: 2 ** 23 })
    a.memory.bytes.set(pattern(4096, 3), 2 ** 23 - 4096)
    a.pair.prepareWrite({ memory: a.memory, remote: b.memory.remote }).post(1)
    a.pair.submit()
    expect(await completion(a.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS' })
    expectBytes(b.memory.bytes.subarray(2 ** 23 - 4096), pattern(4096, 3))
  })
})

/** Reads the readable pages: EIO for pages that do not exist (doorbell pages that were never rung). */
function readSome(descriptor: number, into: Buffer, position: number): number {
  try {
    return readSync(descriptor, into, 0, into.length, position)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0
    throw error
  }
}

/** The four bytes before each occurrence of `sought` in this process's memory: the length in a descriptor. */
function wordsBefore(sought: Buffer): number[] {
  const found: number[] = []
  const memory = openSync('/proc/self/mem', 'r')
  try {
    for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0/.exec(line) ?? []
      const size = Number.parseInt(to, 16) - Number.parseInt(from, 16)
      if (!(size < 2 ** 26)) continue
      const bytes = Buffer.alloc(size)
      const read = bytes.subarray(0, readSome(memory, bytes, Number.parseInt(from, 16)))
      for (let at = read.indexOf(sought); at >= 4; at = read.indexOf(sought, at + 1)) {
        found.push(bytes.readUInt32BE(at - 4))
      }
    }
  } finally {
    closeSync(memory)
  }
  return found
}

// rxe counts in 32 bits throughout; its VM has 1 GiB of memory.
describe.runIf(soft)('a receive longer than any message', () => {
  it('receives the message, and its descriptor holds the limit', async () => {
    const [a, b] = rxe.connected('RC', { maxReceiveSge: 2 })
    const memory = large(b, 3 * 2 ** 30)
    const receive = b.pair.prepareReceive({ memory })
    const sent = pattern(5000, 1)
    a.memory.bytes.set(sent)
    const send = a.pair.prepareSend({ memory: a.memory })
    const descriptor = Buffer.alloc(12)
    descriptor.writeUInt32BE(memory.lkey)
    descriptor.writeBigUInt64BE(memory.address, 4)
    for (const length of [2 ** 31, 2 ** 31 + 8, 3 * 2 ** 30]) {
      memory.bytes.fill(0, 0, 8192)
      expect(receive.post(1, 0, length)).toBe(0)
      b.pair
        .prepareReceive({
          elements: [
            { memory: b.memory, length: 3 },
            { memory, length },
          ],
        })
        .post(2)
      expect(b.pair.submit()).toBe(2)
      const lengths = wordsBefore(descriptor)
      expect(lengths).toContain(b.pair.longestMessage)
      expect(lengths).not.toContain(length)
      send.post(3, 0, 5000)
      a.pair.submit()
      expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS', byteLength: 5000 })
      expectBytes(memory.bytes.subarray(0, 5000), sent)
      send.post(4, 0, 5000)
      a.pair.submit()
      expect(await completion(b.cq)).toMatchObject({ cookie: 2, status: 'SUCCESS', byteLength: 5000 })
      expectBytes(b.memory.bytes.subarray(0, 3), sent.subarray(0, 3))
      expectBytes(memory.bytes.subarray(0, 4997), sent.subarray(3))
      await completions(a.cq, 2)
    }
  })
})

it('a receive is no longer than one element can say', () => {
  expect(thrownBy(() => checkStretch(0, 2 ** 32, 2 ** 33, mostOfElement)).message).toBe(
    `"length" must be an integer from 0 to ${2 ** 32 - 1}, all that one element takes, not ${2 ** 32}`,
  )
  checkStretch(0, 2 ** 32 - 1, 2 ** 33, mostOfElement)
})

it('are below 2^31 for the binding, whatever limit a port announces', () => {
  const verbs = native.verbs
  const real = verbs.createQueuePair
  for (const name of ['longestMessage', 'longestReceive'] as const) {
    verbs.createQueuePair = (domain, send, receive, options, block) =>
      real(domain, send, receive, { ...options, [name]: 2 ** 31 }, block)
    try {
      expect(thrownBy(() => rxe.side('RC')).message).toBe('"longestMessage" must be below 2^31')
    } finally {
      verbs.createQueuePair = real
    }
  }
})

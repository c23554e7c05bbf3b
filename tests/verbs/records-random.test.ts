/**
 * Random records, and random words from another thread: an oracle gives the answer that the binding must give.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { QueuePairType } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import {
  Control,
  Element,
  elementWords,
  Receive,
  Send,
  WorkRequestOpcode,
} from '../../dist/verbs/request/records.js'
import { Refusal } from '../../dist/verbs/request/refusal.js'
import { Random } from '../beds/random.js'
import { limit, soft, types } from '../beds/rxe.js'
import { flags, listen, type Raw, region, sizes, useRawQueuePairs } from './raw-queue-pair.js'

const { raw } = useRawQueuePairs()

/** The binding's expected answer to a send record: [reason, detail], or null when it must accept it. */
function judge(
  type: QueuePairType,
  record: Uint32Array,
  known: Known,
  { maxInline, longestMessage }: { maxInline: number; longestMessage: number },
): [number, number] | null {
  const [opcode, sendFlags, count] = [
    record[Send.head] & 0xff,
    (record[Send.head] >> 8) & 0xff,
    record[Send.head] >>> 16,
  ]
  if (count > sizes.maxSendSge) return [Refusal.tooManyElements, count]
  const written = opcode >= 4 && opcode <= 6
  const elements = judgeElements(record.subarray(Send.elements), count, known, written)
  if (typeof elements !== 'number') return elements
  if (elements > longestMessage) return [Refusal.tooLong, elements]
  if (sendFlags & 16) return [Refusal.noChecksum, 0]
  if (sendFlags & 8 && elements > maxInline) return [Refusal.inlineTooLong, elements]
  if (opcode > 6) return [Refusal.badOpcode, opcode]
  if (opcode >= 5 && elements !== 8) return [Refusal.badAtomic, 0]
  const lengths = Array.from(
    { length: count },
    (_, i) => record[Send.elements + i * elementWords + Element.length],
  )
  if (soft && opcode >= 5 && lengths.some((length) => length % 8)) return [Refusal.badAtomic, 1]
  const oneSided = opcode !== 2 && opcode !== 3
  const reply = opcode >= 4
  if ((type === 'UD' && oneSided) || (type === 'UC' && reply) || (reply && sendFlags & 8))
    return [Refusal.badOpcode, opcode]
  if (type === 'UD' && record[Send.addressHandle] !== known.addressHandle)
    return [Refusal.badAddressHandle, 0]
  // This check is rdma-core's own (validate_send_wr in providers/rxe/rxe.c).
  if (!soft && opcode >= 5 && record[Send.remoteLow] % 8) return [Refusal.byProvider, 0]
  return null
}

function judgeElements(
  words: Uint32Array,
  count: number,
  known: Known,
  written: boolean,
): [number, number] | number {
  let total = 0
  for (let i = 0; i < count; i++) {
    const [handle, low, high, length] = words.subarray(i * elementWords, (i + 1) * elementWords)
    if (handle === known.foreign) return [Refusal.foreignRegion, i]
    if (handle !== known.handle && handle !== known.readOnly) return [Refusal.staleRegion, i]
    if (written && handle === known.readOnly) return [Refusal.notWritable, i]
    const offset = high * 2 ** 32 + low
    if (offset + length > known.size) return [Refusal.outOfBounds, i]
    total += length
  }
  return total
}

interface Known {
  handle: number
  size: number
  foreign: number
  stale: number
  readOnly: number
  addressHandle: number
}

/** Mostly plausible words, so that every branch is reached; the rest is noise. */
function plausible(random: Random, known: Known, words: Uint32Array, isSend: boolean): void {
  for (let i = 0; i < words.length; i++) words[i] = random.u32()
  const pick = <T>(...choices: T[]): T => random.pick(choices)
  const count = pick(0, 1, 1, 1, 2, 3, 4, 0xffff)
  if (isSend) {
    words[Send.head] =
      (pick(0, 1, 2, 2, 2, 3, 4, 5, 6, 7, random.below(256)) |
        (pick(0, 2, 2, 8, random.below(256)) << 8) |
        (count << 16)) >>>
      0
    if (random.below(4)) words[Send.addressHandle] = known.addressHandle
  } else {
    words[Receive.head] = pick(count, count, random.u32())
  }
  const elements = isSend ? Send.elements : Receive.elements
  for (let at = elements; at < words.length; at += elementWords) {
    words[at + Element.region] = pick(
      ...Array(12).fill(known.handle),
      known.readOnly,
      known.foreign,
      known.stale,
      0,
      random.u32(),
    )
    words[at + Element.offsetLow] = pick(
      0,
      random.below(known.size),
      known.size,
      known.size - 8,
      random.u32(),
      0xffffffff,
    )
    words[at + Element.offsetHigh] = pick(0, 0, 0, 0, 0, 0, 1, 0xffffffff, random.u32())
    words[at + Element.length] = pick(
      0,
      8,
      8,
      random.below(64),
      random.below(known.size),
      known.size,
      random.u32(),
      0xffffffff,
    )
  }
}

function knowledge(a: Raw, memory: number | Uint8Array<SharedArrayBuffer>): Known {
  const { region: made, handle } = region(a.domain, memory)
  const stale = region(a.domain, 4096)
  stale.region.close()
  return {
    handle,
    size: made.length,
    foreign: region(a.context.allocateProtectionDomain(), 4096).handle,
    stale: stale.handle,
    readOnly: region(a.domain, made.length, []).handle,
    addressHandle: listen('createAddressHandle', () => a.domain.createAddressHandle(a.pair.endpoint))
      .result as number,
  }
}

/** Few retries: RC alone has any. */
const impatient = (type: (typeof types)[number]) =>
  type === 'RC' ? { rnrRetry: 0, minRnrTimer: 1, retryCount: 1, timeout: 8 } : {}

describe('thousands of random records', () => {
  it.each(types)('of a %s send ring are judged as the oracle judges them', (type) => {
    const a = raw(type)
    a.pair.connect(a.pair.endpoint)
    const known = knowledge(a, 4096)
    // In ERR the device accepts and flushes every well-formed record, whatever its contents.
    a.pair.modify({ state: 'ERR' })
    const random = new Random(0x1234567)
    const verdicts = new Map<number, number>()
    const bounds = { maxInline: a.pair.capabilities.maxInline, longestMessage: a.pair.longestMessage }
    for (let i = 0; i < 6000; i++) {
      const record = a.sends.record()
      plausible(random, known, record, true)
      const expected = judge(type, record, known, bounds)
      const accepted = a.sends.submit()
      const got = accepted ? null : [a.control[Control.reason], a.control[Control.detail]]
      if (JSON.stringify(got) !== JSON.stringify(expected)) {
        expect({ i, record: [...record], verdict: got }).toEqual({
          i,
          record: [...record],
          verdict: expected,
        })
      }
      verdicts.set(expected?.[0] ?? 0, (verdicts.get(expected?.[0] ?? 0) ?? 0) + 1)
      while (a.pair.sendOutstanding > 0) a.cq.poll()
    }
    const all: number[] = [
      0,
      Refusal.badOpcode,
      Refusal.tooManyElements,
      Refusal.staleRegion,
      Refusal.foreignRegion,
      Refusal.outOfBounds,
      Refusal.notWritable,
    ]
    if (type !== 'UD') all.push(Refusal.inlineTooLong)
    if (type === 'UD') all.push(Refusal.badAddressHandle, Refusal.tooLong)
    if (type !== 'UD') all.push(Refusal.badAtomic)
    // Every verdict occurred, and often enough to count.
    for (const reason of all) expect([reason, (verdicts.get(reason) ?? 0) > 5]).toEqual([reason, true])
  })

  it('of a receive ring get the oracle’s answers', () => {
    const a = raw('RC')
    a.pair.initialize()
    const known = knowledge(a, 4096)
    const random = new Random(0x7654321)
    let taken = 0
    for (let i = 0; i < 6000; i++) {
      const record = a.receives.record()
      plausible(random, known, record, false)
      const count = record[Receive.head]
      const elements =
        count > sizes.maxReceiveSge
          ? [Refusal.tooManyElements, count]
          : judgeElements(record.subarray(Receive.elements), count, known, true)
      const expected = typeof elements === 'number' ? null : elements
      const accepted = a.receives.submit()
      const got = accepted ? null : [a.control[Control.reason], a.control[Control.detail]]
      if (JSON.stringify(got) !== JSON.stringify(expected)) {
        expect({ i, record: [...record], verdict: got }).toEqual({
          i,
          record: [...record],
          verdict: expected,
        })
      }
      if (accepted && ++taken % sizes.maxReceiveWr === 0) {
        a.pair.modify({ state: 'RESET' })
        a.pair.initialize()
      }
    }
    expect(taken).toBeGreaterThan(500)
  })

  it.each(types)('let the device of a connected %s pair touch nothing beyond the region', (type) => {
    const [a, b] = [raw(type, 0), raw(type, 1)]
    // The region is the middle of a larger buffer: around it lie canaries.
    const buffer = new Uint8Array(new SharedArrayBuffer(3 * 8192)).fill(0xcc)
    const middle = buffer.subarray(8192, 2 * 8192)
    const known = knowledge(a, middle)
    const random = new Random(0xbeef)
    const connect = () => {
      for (const { pair } of [a, b]) pair.modify({ state: 'RESET' })
      a.pair.connect(b.pair.endpoint, impatient(type))
      b.pair.connect(a.pair.endpoint, impatient(type))
    }
    connect()
    let taken = 0
    for (let i = 0; i < 150; i++) {
      for (let index = 0; index < sizes.maxSendWr; index++) {
        plausible(random, known, a.sends.record(index), true)
        plausible(random, known, a.receives.record(index), false)
        if (index % 2) a.sends.record(index)[Send.rkey] = b.memory.rkey
      }
      for (let left = sizes.maxSendWr; left > 0; left--) {
        a.receives.submit()
        taken += a.sends.submit()
      }
      a.cq.poll()
      b.cq.poll()
      if (a.pair.state === 'ERR' || a.pair.sendOutstanding > sizes.maxSendWr - 4) connect()
    }
    expect(taken).toBeGreaterThan(50)
    expect(buffer.subarray(0, 8192).every((byte) => byte === 0xcc)).toBe(true)
    expect(buffer.subarray(2 * 8192).every((byte) => byte === 0xcc)).toBe(true)
  })
})

describe('another thread that writes into the blocks', () => {
  it('while requests are posted crashes nothing and gets nothing past the checks', async () => {
    const a = raw('RC')
    const b = raw('RC', 1)
    const buffer = new Uint8Array(new SharedArrayBuffer(3 * 8192)).fill(0xcc)
    const known = knowledge(a, buffer.subarray(8192, 2 * 8192))
    const stop = new Int32Array(new SharedArrayBuffer(4))
    // Math.random: how the threads interleave is no seed's choice anyway.
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
       const { blocks, stop, handle } = workerData
       const next = () => (Math.random() * 2 ** 32) >>> 0
       const likely = [0, 2, 3, 8, 0x20202, 0x10202, 0x30a02, handle, handle, handle, 8192, 8191, 0xffffffff, 0x10002]
       parentPort.postMessage('writing')
       while (!Atomics.load(stop, 0)) {
         for (let i = 0; i < 2000; i++) {
           for (const words of blocks) {
             words[next() % words.length] = next() % 4 ? likely[next() % likely.length] : next()
           }
         }
       }
       parentPort.postMessage('stopped')`,
      {
        eval: true,
        workerData: {
          blocks: [a.control, a.sends.words, a.receives.words, new Uint32Array(a.cq.cookie.buffer)],
          stop,
          handle: known.handle,
        },
      },
    )
    const signal = AbortSignal.timeout(limit)
    await once(worker, 'message', { signal })
    let taken = 0
    const connect = () => {
      for (const { pair } of [a, b]) pair.modify({ state: 'RESET' })
      a.pair.connect(b.pair.endpoint, { rnrRetry: 0, minRnrTimer: 1, retryCount: 1, timeout: 8 })
      b.pair.connect(a.pair.endpoint, { rnrRetry: 0, minRnrTimer: 1 })
    }
    connect()
    for (let i = 0; i < 3000; i++) {
      a.receives.submit(4)
      taken += a.sends.submit(8)
      const count = a.cq.poll()
      expect(count).toBeLessThanOrEqual(a.cq.batch)
      b.cq.poll()
      if (i % 50 === 49) connect()
    }
    Atomics.store(stop, 0, 1)
    await once(worker, 'message', { signal })
    await worker.terminate()
    expect(taken).toBeGreaterThan(10)
    expect(buffer.subarray(0, 8192).every((byte) => byte === 0xcc)).toBe(true)
    expect(buffer.subarray(2 * 8192).every((byte) => byte === 0xcc)).toBe(true)
    // Afterwards it works as if nothing had happened.
    connect()
    const cookies = (side: Raw) => side.cq.cookie.subarray(0, 1)[0]
    b.receives.record().fill(0)
    b.receives.record()[Receive.cookie] = 41
    expect(b.receives.submit()).toBe(1)
    a.sends.record().fill(0)
    a.sends.record()[Send.head] = WorkRequestOpcode.SEND | flags.signaled
    a.sends.record()[Send.cookie] = 42
    expect(a.sends.submit()).toBe(1)
    while ((await b.cq.wait({ signal })) === 0);
    expect(cookies(b)).toBe(41)
    expect(await a.cq.wait({ signal })).toBe(1)
    expect(cookies(a)).toBe(42)
  })
})

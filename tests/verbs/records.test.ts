/**
 * Records written by hand. JavaScript can write anything into the blocks that it shares with the binding, from any
 * thread, so the binding must check each record by itself: an oracle here gives the expected answer.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { QueuePair, QueuePairType } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import {
  Completion,
  Control,
  controlWords,
  Element,
  elementWords,
  Receive,
  receiveWords,
  Send,
  sendWords,
  WorkRequestOpcode,
} from '../../dist/verbs/request/records.js'
import { completions, limit, outcome, type Side, type SideOptions, soft, types, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** enum Refusal, binding/verbs/records.h. */
const Refusal = {
  none: 0,
  byProvider: 1,
  wrongState: 2,
  badOpcode: 3,
  tooManySges: 4,
  staleRegion: 5,
  foreignRegion: 6,
  outOfBounds: 7,
  inlineTooLong: 8,
  badAddressHandle: 9,
  badAtomic: 10,
  noChecksum: 11,
  tooLong: 12,
  notWritable: 13,
} as const
const EINVAL = 22
const EMSGSIZE = 90
const flags = { signaled: 2 << 8, inline: 8 << 8 }

interface Raw extends Side {
  handle: number
  control: Uint32Array
  /** Words of the record `index` of the send (receive) ring. */
  send(index: number): Uint32Array
  receive(index: number): Uint32Array
}

/** Handles and shared words that lib/ keeps to itself: recorded by wrapping the binding's functions. */
function listen<T extends object>(name: keyof typeof native.verbs, make: () => T) {
  const verbs = native.verbs as unknown as Record<string, (...args: never[]) => unknown>
  const real = verbs[name]
  let heard: { args: unknown[]; result: unknown } | undefined
  verbs[name] = (...args) => {
    const result = real(...args)
    heard = { args, result }
    return result
  }
  try {
    const made = make()
    return { made, ...(heard as unknown as { args: unknown[]; result: never }) }
  } finally {
    verbs[name] = real
  }
}

const sizes = { maxSendWr: 16, maxReceiveWr: 16, maxSendSge: 3, maxReceiveSge: 3, maxInline: 64 }

function raw(type: QueuePairType, device: 0 | 1 = 0, options: SideOptions = {}): Raw {
  const heard = listen('createQueuePair', () => rxe.side(type, device, { ...sizes, ...options }))
  const { handle } = heard.result as { handle: number }
  const block = heard.args[4] as Uint32Array
  const sendStride = sendWords(sizes.maxSendSge)
  const receiveStride = receiveWords(sizes.maxReceiveSge)
  const receives = controlWords + sizes.maxSendWr * sendStride
  expect(block.length).toBe(receives + sizes.maxReceiveWr * receiveStride)
  return {
    ...heard.made,
    handle,
    control: block.subarray(0, controlWords),
    send: (index) =>
      block.subarray(controlWords + index * sendStride, controlWords + (index + 1) * sendStride),
    receive: (index) =>
      block.subarray(receives + index * receiveStride, receives + (index + 1) * receiveStride),
  }
}

/** A region and its handle. */
function region(
  domain: Side['domain'],
  memory: number | Uint8Array<SharedArrayBuffer>,
  access?: ('LOCAL_WRITE' | 'REMOTE_READ')[],
) {
  const { made, result } = listen('registerMemory', () => domain.registerMemory(memory, { access }))
  return { region: made, handle: (result as { handle: number }).handle }
}

const refusal = ({ control }: Raw) => [
  control[Control.errno],
  control[Control.reason],
  control[Control.detail],
]

/** A small seeded generator, so that a failure is reproducible (xorshift32). */
function random(seed: number) {
  let x = seed
  return (below = 0x100000000) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

describe('a send record', () => {
  it.each([
    ['an element count beyond the queue pair', { head: 2 | (4 << 16) }, Refusal.tooManySges, 4],
    ['an element count of 65535', { head: (2 | (0xffff << 16)) >>> 0 }, Refusal.tooManySges, 65535],
    ['an unknown opcode', { head: 77 }, Refusal.badOpcode, 77],
    ['the opcode of a local invalidation', { head: 8 }, Refusal.badOpcode, 8],
    ['a read inline', { head: 4 | flags.inline }, Refusal.badOpcode, 4],
    ['an atomic of no bytes', { head: 6 }, Refusal.badAtomic, 0],
  ])('with %s is refused for that', (_, words, reason, detail) => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    a.send(0)[Send.head] = words.head
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, reason, detail])
  })

  it.each([
    ['nothing', () => 0, Refusal.staleRegion],
    ['a handle that never was', () => 0x3ff00005, Refusal.staleRegion],
    ['all ones', () => 0xffffffff, Refusal.staleRegion],
    ['a handle of another kind', (a: Raw) => a.handle, Refusal.staleRegion],
    [
      'a region of another domain',
      (a: Raw) => region(a.context.allocateProtectionDomain(), 4096).handle,
      Refusal.foreignRegion,
    ],
    [
      'a region of another context',
      () => region(rxe.context(1).allocateProtectionDomain(), 4096).handle,
      Refusal.foreignRegion,
    ],
    [
      'a region that is closed',
      (a: Raw) => {
        const made = region(a.domain, 4096)
        made.region.close()
        return made.handle
      },
      Refusal.staleRegion,
    ],
    [
      'a closed region whose slot is used again',
      (a: Raw) => {
        const made = region(a.domain, 4096)
        made.region.close()
        // Slots are reused, oldest first, when more than 1024 are free (binding/handle_table.cc).
        const slot = (handle: number) => handle & 0xfffff
        for (let i = 0; i < 3000; i++) {
          const again = region(a.domain, 1)
          if (slot(again.handle) === slot(made.handle)) {
            expect(again.handle).not.toBe(made.handle)
            return made.handle
          }
          again.region.close()
        }
        throw new Error('the slot did not come again')
      },
      Refusal.staleRegion,
    ],
  ])('whose second element names %s is refused, naming the element', (_, make, reason) => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const good = region(a.domain, 4096).handle
    const handle = make(a)
    const record = a.send(0)
    record[Send.head] = WorkRequestOpcode.SEND | flags.signaled | (2 << 16)
    record.set([good, 0, 0, 10], Send.elements)
    record.set([handle, 0, 0, 10], Send.elements + elementWords)
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, reason, 1])
    expect(a.pair.sendOutstanding).toBe(0)
  })

  const size = 4096
  it.each([
    [0, 0, size + 1],
    [1, 0, size],
    [size, 0, 1],
    [size + 1, 0, 0],
    [0, 0, 0xffffffff],
    [0, 1, 0],
    [0, 1, 8],
    [0xffffffff, 0xffffffff, 1], // 2^64 − 1: the end would wrap to 0
    [0xffffff00, 0xffffffff, 0x200],
    [0xffffffff, 0xffffffff, 0xffffffff],
    [0, 0x80000000, 1],
  ])('of [%i + %i × 2^32, + %i bytes] of a region of 4096 is out of bounds', (low, high, length) => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { handle } = region(a.domain, size)
    const record = a.send(0)
    record[Send.head] = WorkRequestOpcode.SEND | (1 << 16)
    record.set([handle, low, high, length], Send.elements)
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.outOfBounds, 0])
  })

  it.each([
    [0, 0],
    [size, 0],
    [0, size],
    [size - 1, 1],
  ])('of [%i, + %i bytes] of a region of 4096 is inside', async (offset, length) => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    a.pair.prepareReceive({ memory: a.memory }).post(7)
    a.pair.submit()
    const { handle } = region(a.domain, size)
    const record = a.send(5)
    record[Send.head] = WorkRequestOpcode.SEND | flags.signaled | (1 << 16)
    record[Send.cookie] = 8
    record.set([handle, offset, 0, length], Send.elements)
    expect(native.verbs.postSend(a.handle, 5, 1)).toBe(1)
    expect(refusal(a)).toEqual([0, Refusal.none, 0])
    expect(outcome(await completions(a.cq, 2)).sort()).toEqual([
      [7, 'SUCCESS'],
      [8, 'SUCCESS'],
    ])
  })

  it('inline has at most the provider’s limit, summed over its elements', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { handle } = region(a.domain, size)
    const most = a.pair.capabilities.maxInline
    const record = a.send(0)
    record[Send.head] = WorkRequestOpcode.SEND | flags.inline | (3 << 16)
    for (const [i, length] of [most - 1, 1, 1].entries()) {
      record.set([handle, 0, 0, length], Send.elements + i * elementWords)
    }
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.inlineTooLong, most + 1])
    // The sum has 64 bits: three times 2 GiB do not wrap to a short length (with memory that does not exist, either).
    for (let i = 0; i < 3; i++) record[Send.elements + i * elementWords + Element.length] = 0x80000000
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.outOfBounds, 0])
  })

  it('has at most the longest message’s bytes, summed over its elements', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { longestMessage } = a.pair
    const part = longestMessage / 2
    const { handle } = region(a.domain, new Uint8Array(new SharedArrayBuffer(part)))
    const record = a.send(0)
    for (const opcode of ['SEND', 'RDMA_WRITE', 'RDMA_READ', 'RDMA_WRITE_WITH_IMM'] as const) {
      record.fill(0)
      record[Send.head] = WorkRequestOpcode[opcode] | (3 << 16)
      for (const [i, length] of [part, 8, part].entries()) {
        record.set([handle, 0, 0, length], Send.elements + i * elementWords)
      }
      expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
      expect(refusal(a)).toEqual([EMSGSIZE, Refusal.tooLong, longestMessage + 8])
    }
    // As submit() writes it.
    a.pair.prepareSend({ memory: a.memory }).post(5, 0, 1)
    record[Send.head] = WorkRequestOpcode.SEND | (3 << 16)
    for (const [i, length] of [part, part, 1].entries()) {
      record.set([handle, 0, 0, length], Send.elements + i * elementWords)
    }
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EMSGSIZE',
      cookie: 5,
      message: `EMSGSIZE: ibv_post_send: ${longestMessage + 1} bytes are more than ${longestMessage}, the queue pair's longest message`,
    })
  })

  // Bit 31 of a length would tell libmlx5's device that the bytes follow inline. The VM has no memory for it.
  it.runIf(soft)('of 2^31 bytes and more is none that could be read as inline', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const memory = new SharedArrayBuffer(2 ** 31 + 64)
    const { result } = listen('registerMemory', () => a.domain.registerMemory(memory, { access: [] }))
    const { handle } = result as { handle: number }
    for (const length of [2 ** 31, 2 ** 31 + 8, 2 ** 31 + 12, 2 ** 31 + 64]) {
      for (const opcode of [0, 1, 2, 3]) {
        a.send(0)[Send.head] = opcode | (1 << 16)
        a.send(0).set([handle, 0, 0, length], Send.elements)
        expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
        expect(refusal(a)).toEqual([EMSGSIZE, Refusal.tooLong, length])
      }
    }
  })

  it('of UD names an address handle of the same domain', () => {
    const a = raw('UD')
    a.pair.connect()
    const other = a.context.allocateProtectionDomain()
    const foreign = listen('createAddressHandle', () => other.createAddressHandle(a.pair.endpoint))
    const closed = listen('createAddressHandle', () => a.domain.createAddressHandle(a.pair.endpoint))
    closed.made.close()
    for (const handle of [0, 0xffffffff, a.handle, foreign.result as number, closed.result as number]) {
      a.send(0)[Send.head] = WorkRequestOpcode.SEND
      a.send(0)[Send.addressHandle] = handle
      expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
      expect(refusal(a)).toEqual([EINVAL, Refusal.badAddressHandle, 0])
    }
  })

  it.each([
    ['UD', [0, 1, 4, 5, 6]],
    ['UC', [4, 5, 6]],
  ] as const)('of %s has none of the opcodes %j', (type, opcodes) => {
    const a = raw(type)
    a.pair.connect(a.pair.endpoint)
    const { handle } = region(a.domain, 4096)
    for (const opcode of opcodes) {
      a.send(0)[Send.head] = opcode | (1 << 16)
      a.send(0).set([handle, 0, 0, 8], Send.elements)
      expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
      expect(refusal(a)).toEqual([EINVAL, Refusal.badOpcode, opcode])
    }
  })

  // rxe's library checks the address; libmlx5 leaves that to the device.
  it.skipIf(soft)('that the provider refuses has its errno, as a positive number', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { handle } = region(a.domain, 4096)
    a.send(0)[Send.head] = WorkRequestOpcode.ATOMIC_FETCH_AND_ADD | (1 << 16)
    a.send(0)[Send.remoteLow] = 4 // rdma-core refuses an address that is not a multiple of 8 (validate_send_wr)
    a.send(0).set([handle, 0, 0, 8], Send.elements)
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.byProvider, 0])
    expect(a.pair.sendOutstanding).toBe(0)
  })

  it('that is bad ends the batch after the good ones before it', async () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const receive = a.pair.prepareReceive({})
    for (let i = 0; i < 3; i++) receive.post(100 + i)
    a.pair.submit()
    for (let i = 0; i < 6; i++) {
      a.send(i)[Send.head] = (i === 3 ? 99 : WorkRequestOpcode.SEND) | flags.signaled
      a.send(i)[Send.cookie] = i
    }
    expect(native.verbs.postSend(a.handle, 0, 6)).toBe(3)
    expect(refusal(a)).toEqual([EINVAL, Refusal.badOpcode, 99])
    const all = outcome(await completions(a.cq, 6))
    expect(all.filter(([cookie]) => cookie < 100)).toEqual([0, 1, 2].map((i) => [i, 'SUCCESS']))
  })
})

describe('first and count', () => {
  it('are taken modulo the ring, and limited to the free places', () => {
    const a = raw('RC')
    a.pair.initialize()
    for (let i = 0; i < 16; i++) a.receive(i).fill(0)
    expect(native.verbs.postReceive(a.handle, 0, 0)).toBe(0)
    expect(native.verbs.postReceive(a.handle, 0xffffffff, 0)).toBe(0)
    expect(native.verbs.postReceive(a.handle, 13, 5)).toBe(5)
    expect(native.verbs.postReceive(a.handle, 0xfffffff7, 0xffffffff)).toBe(11)
    expect(native.verbs.postReceive(a.handle, 0, 1)).toBe(0)
    expect(a.pair.receiveOutstanding).toBe(16)
    a.pair.connect(a.pair.endpoint)
    expect(native.verbs.postSend(a.handle, 0, 0)).toBe(0)
  })

  it('are the binding’s own, whatever is written into the control words', async () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    for (const lie of [0, 5, 0xffffffff]) {
      a.control.fill(lie)
      a.receive(0).fill(0)
      a.send(0).fill(0)
      a.send(0)[Send.head] = WorkRequestOpcode.SEND | flags.signaled
      expect(native.verbs.postReceive(a.handle, 0, 1)).toBe(1)
      expect(native.verbs.postSend(a.handle, 0, 1)).toBe(1)
      expect(await completions(a.cq, 2)).toHaveLength(2)
      expect([...a.control.subarray(0, 2)]).toEqual([0, 0])
    }
  })
})

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
  if (count > sizes.maxSendSge) return [Refusal.tooManySges, count]
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
function plausible(
  next: (below?: number) => number,
  known: Known,
  words: Uint32Array,
  isSend: boolean,
): void {
  for (let i = 0; i < words.length; i++) words[i] = next()
  const pick = <T>(...choices: T[]): T => choices[next(choices.length)]
  const count = pick(0, 1, 1, 1, 2, 3, 4, 0xffff)
  if (isSend) {
    words[Send.head] =
      (pick(0, 1, 2, 2, 2, 3, 4, 5, 6, 7, next(256)) | (pick(0, 2, 2, 8, next(256)) << 8) | (count << 16)) >>>
      0
    if (next(4)) words[Send.addressHandle] = known.addressHandle
  } else {
    words[Receive.head] = pick(count, count, next())
  }
  const elements = isSend ? Send.elements : Receive.elements
  for (let at = elements; at < words.length; at += elementWords) {
    words[at + Element.region] = pick(
      ...Array(12).fill(known.handle),
      known.readOnly,
      known.foreign,
      known.stale,
      0,
      next(),
    )
    words[at + Element.offsetLow] = pick(0, next(known.size), known.size, known.size - 8, next(), 0xffffffff)
    words[at + Element.offsetHigh] = pick(0, 0, 0, 0, 0, 0, 1, 0xffffffff, next())
    words[at + Element.length] = pick(0, 8, 8, next(64), next(known.size), known.size, next(), 0xffffffff)
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
    const next = random(0x1234567)
    const verdicts = new Map<number, number>()
    const bounds = { maxInline: a.pair.capabilities.maxInline, longestMessage: a.pair.longestMessage }
    for (let i = 0; i < 6000; i++) {
      const index = i % sizes.maxSendWr
      const record = a.send(index)
      plausible(next, known, record, true)
      const expected = judge(type, record, known, bounds)
      const accepted = native.verbs.postSend(a.handle, index, 1)
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
      Refusal.tooManySges,
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
    const next = random(0x7654321)
    let taken = 0
    for (let i = 0; i < 6000; i++) {
      const index = i % sizes.maxReceiveWr
      const record = a.receive(index)
      plausible(next, known, record, false)
      const count = record[Receive.head]
      const elements =
        count > sizes.maxReceiveSge
          ? [Refusal.tooManySges, count]
          : judgeElements(record.subarray(Receive.elements), count, known, true)
      const expected = typeof elements === 'number' ? null : elements
      const accepted = native.verbs.postReceive(a.handle, index, 1)
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
    const next = random(0xbeef)
    const connect = () => {
      for (const { pair } of [a, b]) pair.modify({ state: 'RESET' })
      a.pair.connect(b.pair.endpoint, impatient(type))
      b.pair.connect(a.pair.endpoint, impatient(type))
    }
    connect()
    let taken = 0
    for (let i = 0; i < 150; i++) {
      for (let index = 0; index < sizes.maxSendWr; index++) {
        plausible(next, known, a.send(index), true)
        plausible(next, known, a.receive(index % sizes.maxReceiveWr), false)
        if (index % 2) a.send(index)[Send.rkey] = b.memory.rkey
      }
      for (let first = 0; first < sizes.maxSendWr; first++) {
        native.verbs.postReceive(a.handle, first, 1)
        taken += native.verbs.postSend(a.handle, first, 1)
      }
      a.cq.poll()
      b.cq.poll()
      if (a.pair.state === 'ERR' || a.pair.sendFree < 4) connect()
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
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
       const { words, columns, stop, handle } = workerData
       let x = 88172645
       const next = () => { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; return x >>> 0 }
       const likely = [0, 2, 3, 8, 0x20202, 0x10202, 0x30a02, handle, handle, handle, 8192, 8191, 0xffffffff, 0x10002]
       parentPort.postMessage('writing')
       while (!Atomics.load(stop, 0)) {
         for (let i = 0; i < 2000; i++) {
           words[next() % words.length] = next() % 4 ? likely[next() % likely.length] : next()
           columns[next() % columns.length] = next()
         }
       }
       parentPort.postMessage('stopped')`,
      {
        eval: true,
        workerData: {
          words: new Uint32Array(a.control.buffer as SharedArrayBuffer),
          columns: new Uint32Array(a.cq.cookie.buffer as SharedArrayBuffer),
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
      native.verbs.postReceive(a.handle, i, 4)
      taken += native.verbs.postSend(a.handle, i, 8)
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
    b.receive(0).fill(0)
    b.receive(0)[Receive.cookie] = 41
    native.verbs.postReceive(b.handle, 0, 1)
    a.send(0).fill(0)
    a.send(0)[Send.head] = WorkRequestOpcode.SEND | flags.signaled
    a.send(0)[Send.cookie] = 42
    expect(native.verbs.postSend(a.handle, 0, 1)).toBe(1)
    while ((await b.cq.wait({ signal })) === 0);
    expect(cookies(b)).toBe(41)
    expect(await a.cq.wait({ signal })).toBe(1)
    expect(cookies(a)).toBe(42)
  })
})

describe('the columns of a completion queue', () => {
  it('lie where records.h says', async () => {
    const { made, args } = listen('createCompletionQueue', () =>
      rxe.context().createCompletionQueue(10, { batch: 7 }),
    )
    const columns = args[3] as Uint32Array
    const where: [keyof typeof made, number][] = [
      ['cookie', Completion.cookie],
      ['status', Completion.status],
      ['opcode', Completion.opcode],
      ['byteLength', Completion.byteLength],
      ['immediate', Completion.immediate],
      ['flags', Completion.flags],
      ['queuePairNumber', Completion.qpn],
      ['sourceQueuePair', Completion.sourceQpn],
      ['vendorError', Completion.vendorError],
    ]
    for (const [name, column] of where) {
      const view = made[name] as Uint32Array
      expect([name, view.byteOffset, view.length]).toEqual([name, columns.byteOffset + column * 7 * 4, 7])
    }
  })
})

describe('a queue pair closed', () => {
  it('leaves a stale handle', () => {
    const a = raw('RC')
    const pair: QueuePair = a.pair
    pair.close()
    for (const call of [
      () => native.verbs.postSend(a.handle, 0, 1),
      () => native.verbs.postReceive(a.handle, 0, 1),
      () => native.verbs.queryQueuePair(a.handle),
      () => native.verbs.modifyQueuePair(a.handle, {}),
    ]) {
      expect(call).toThrow(
        expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED', message: 'the queue pair is closed' }),
      )
    }
    expect(native.close(a.handle, 4)).toBe(false)
    a.control.fill(1) // its block is ordinary memory now
  })
})

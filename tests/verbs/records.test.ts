/**
 * Records written by hand: the binding checks each by itself, and refuses it by name.
 */
import type { QueuePair } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { native } from '../../dist/native.js'
import {
  Completion,
  Control,
  elementWords,
  Send,
  WorkRequestOpcode,
} from '../../dist/verbs/request/records.js'
import { Refusal } from '../../dist/verbs/request/refusal.js'
import { completions, outcome, soft } from '../beds/rxe.js'
import {
  EINVAL,
  EMSGSIZE,
  flags,
  listen,
  notRefused,
  type Raw,
  refusal,
  region,
  useRawQueuePairs,
} from './raw-queue-pair.js'

const { context, raw } = useRawQueuePairs()

describe('a send record', () => {
  it.each([
    ['an element count beyond the queue pair', { head: 2 | (4 << 16) }, Refusal.tooManyElements, 4],
    ['an element count of 65535', { head: (2 | (0xffff << 16)) >>> 0 }, Refusal.tooManyElements, 65535],
    ['an unknown opcode', { head: 77 }, Refusal.badOpcode, 77],
    ['the opcode of a local invalidation', { head: 8 }, Refusal.badOpcode, 8],
    ['a read inline', { head: 4 | flags.inline }, Refusal.badOpcode, 4],
    ['an atomic of no bytes', { head: 6 }, Refusal.badAtomic, 0],
  ])('with %s is refused for that', (_, words, reason, detail) => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    a.sends.record()[Send.head] = words.head
    expect(a.sends.submit()).toBe(0)
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
      () => region(context(1).allocateProtectionDomain(), 4096).handle,
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
    const record = a.sends.record()
    record[Send.head] = WorkRequestOpcode.SEND | flags.signaled | (2 << 16)
    record.set([good, 0, 0, 10], Send.elements)
    record.set([handle, 0, 0, 10], Send.elements + elementWords)
    expect(a.sends.submit()).toBe(0)
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
    const record = a.sends.record()
    record[Send.head] = WorkRequestOpcode.SEND | (1 << 16)
    record.set([handle, low, high, length], Send.elements)
    expect(a.sends.submit()).toBe(0)
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
    const record = a.sends.record()
    record[Send.head] = WorkRequestOpcode.SEND | flags.signaled | (1 << 16)
    record[Send.cookie] = 8
    record.set([handle, offset, 0, length], Send.elements)
    expect(a.sends.submit()).toBe(1)
    expect(refusal(a)).toEqual(notRefused)
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
    const write = (...lengths: number[]) => {
      const record = a.sends.record()
      record[Send.head] = WorkRequestOpcode.SEND | flags.inline | (3 << 16)
      for (const [i, length] of lengths.entries()) {
        record.set([handle, 0, 0, length], Send.elements + i * elementWords)
      }
    }
    write(most - 1, 1, 1)
    expect(a.sends.submit()).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.inlineTooLong, most + 1])
    // The sum has 64 bits: three times 2 GiB do not wrap to a short length (with memory that does not exist, either).
    write(0x80000000, 0x80000000, 0x80000000)
    expect(a.sends.submit()).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.outOfBounds, 0])
  })

  it('has at most the longest message’s bytes, summed over its elements', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { longestMessage } = a.pair
    const part = longestMessage / 2
    const { handle } = region(a.domain, new Uint8Array(new SharedArrayBuffer(part)))
    for (const opcode of ['SEND', 'RDMA_WRITE', 'RDMA_READ', 'RDMA_WRITE_WITH_IMM'] as const) {
      const record = a.sends.record()
      record.fill(0)
      record[Send.head] = WorkRequestOpcode[opcode] | (3 << 16)
      for (const [i, length] of [part, 8, part].entries()) {
        record.set([handle, 0, 0, length], Send.elements + i * elementWords)
      }
      expect(a.sends.submit()).toBe(0)
      expect(refusal(a)).toEqual([EMSGSIZE, Refusal.tooLong, longestMessage + 8])
    }
    // As submit() tells it.
    const b = raw('RC')
    b.pair.connect(b.pair.endpoint)
    const there = region(b.domain, new Uint8Array(new SharedArrayBuffer(part)))
    b.pair.prepareSend({ memory: b.memory }).post(5, 0, 1)
    b.sends.record()[Send.head] = WorkRequestOpcode.SEND | (3 << 16)
    for (const [i, length] of [part, part, 1].entries()) {
      b.sends.record().set([there.handle, 0, 0, length], Send.elements + i * elementWords)
    }
    expect(b.pair.submit()).toBe(0)
    expect(b.pair.error).toMatchObject({
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
        a.sends.record()[Send.head] = opcode | (1 << 16)
        a.sends.record().set([handle, 0, 0, length], Send.elements)
        expect(a.sends.submit()).toBe(0)
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
      a.sends.record()[Send.head] = WorkRequestOpcode.SEND
      a.sends.record()[Send.addressHandle] = handle
      expect(a.sends.submit()).toBe(0)
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
      a.sends.record()[Send.head] = opcode | (1 << 16)
      a.sends.record().set([handle, 0, 0, 8], Send.elements)
      expect(a.sends.submit()).toBe(0)
      expect(refusal(a)).toEqual([EINVAL, Refusal.badOpcode, opcode])
    }
  })

  // rxe's library checks the address; libmlx5 leaves that to the device.
  it.skipIf(soft)('that the provider refuses has its errno, as a positive number', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    const { handle } = region(a.domain, 4096)
    a.sends.record()[Send.head] = WorkRequestOpcode.ATOMIC_FETCH_AND_ADD | (1 << 16)
    a.sends.record()[Send.remoteLow] = 4 // rdma-core refuses an address that is not a multiple of 8 (validate_send_wr)
    a.sends.record().set([handle, 0, 0, 8], Send.elements)
    expect(a.sends.submit()).toBe(0)
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
      a.sends.record(i)[Send.head] = (i === 3 ? 99 : WorkRequestOpcode.SEND) | flags.signaled
      a.sends.record(i)[Send.cookie] = i
    }
    expect(a.sends.submit(6)).toBe(3)
    expect(refusal(a)).toEqual([EINVAL, Refusal.badOpcode, 99])
    const all = outcome(await completions(a.cq, 6))
    expect(all.filter(([cookie]) => cookie < 100)).toEqual([0, 1, 2].map((i) => [i, 'SUCCESS']))
  })
})

describe('the indices of a ring', () => {
  it('hand over as many requests as there are, and as the device has room for', () => {
    const a = raw('RC')
    a.pair.initialize()
    for (let i = 0; i < 16; i++) a.receives.record(i).fill(0)
    expect(a.receives.submit(0)).toBe(0)
    expect(a.receives.submit(5)).toBe(5)
    expect(a.receives.submit(16)).toBe(11)
    expect([a.receives.consumer, a.pair.receiveOutstanding]).toEqual([16, 16])
    expect(a.receives.submit(5)).toBe(0)
    expect([a.receives.consumer, ...refusal(a)]).toEqual([16, ...notRefused])
  })

  it('never hand over more than the queue’s depth, which need not be the ring’s capacity', () => {
    const a = raw('RC', 0, { maxReceiveWr: 11 })
    a.pair.initialize()
    expect(a.receives.words.length).toBe(32 + 16 * a.receives.recordWords)
    for (let i = 0; i < 16; i++) a.receives.record(i).fill(0)
    expect(a.receives.submit(16)).toBe(11)
    expect(a.receives.consumer).toBe(11)
  })

  it('wrap, and the records with them', async () => {
    const a = raw('RC')
    // RESET drops what waits: the binding has then come as far as the producer.
    a.receives.producer = 0xfffffffb
    native.verbs.modifyQueuePair(a.handle, { state: 0 })
    expect(a.receives.consumer).toBe(0xfffffffb)
    a.pair.initialize()
    for (let i = 0; i < 16; i++) a.receives.record(i).set([0, 100 + i])
    expect(a.receives.submit(16)).toBe(16)
    expect(a.receives.consumer).toBe(11)
    a.pair.modify({ state: 'ERR' })
    expect(outcome(await completions(a.cq, 16))).toEqual(
      Array.from({ length: 16 }, (_, i) => [100 + i, 'WR_FLUSH_ERR']),
    )
  })

  it.each([17, 0x80000000, 0xffffffff])(
    'that are impossible (%i ahead) hand over nothing, until the next that is possible',
    (ahead) => {
      const a = raw('RC')
      a.pair.initialize()
      a.receives.record().fill(0)
      expect(a.receives.submit(ahead)).toBe(0)
      expect([a.receives.consumer, a.pair.receiveOutstanding]).toEqual([0, 0])
      expect(a.receives.submit()).toBe(1)
    },
  )

  it('and the counts are the binding’s own, whatever is written over them', async () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    for (const lie of [0, 5, 0xffffffff]) {
      const [sent, received] = [a.sends.consumer, a.receives.consumer]
      a.receives.record().fill(0)
      a.sends.record().fill(0)
      a.sends.record()[Send.head] = WorkRequestOpcode.SEND | flags.signaled
      a.control.fill(lie)
      for (const ring of [a.sends, a.receives]) ring.words.fill(lie, 0, 32)
      a.receives.producer = received + 1
      a.sends.producer = sent + 1
      expect(a.bell()).toBe(2)
      expect([a.sends.consumer, a.receives.consumer]).toEqual([sent + 1, received + 1])
      expect(await completions(a.cq, 2)).toHaveLength(2)
      expect([...a.control.subarray(0, 2)]).toEqual([0, 0])
    }
  })
})

describe('a refused request', () => {
  it('is named with its cookie and its ring, and taken out; those behind it stay', () => {
    const a = raw('RC')
    a.pair.connect(a.pair.endpoint)
    for (let i = 0; i < 3; i++) a.receives.record(i).set([i === 1 ? 9 : 0, 20 + i])
    for (let i = 0; i < 3; i++) {
      a.sends.record(i).set([(i === 0 ? 99 : WorkRequestOpcode.SEND) | flags.signaled, 30 + i])
    }
    a.sends.producer = 3
    // The receives are posted first: theirs is the refusal that is told, and the sends are tried as well.
    expect(a.receives.submit(3)).toBe(1)
    expect(refusal(a)).toEqual([EINVAL, Refusal.tooManyElements, 9])
    expect([a.control[Control.cookie], a.control[Control.isReceive]]).toEqual([21, 1])
    expect([a.receives.consumer, a.sends.consumer]).toEqual([2, 1])
    expect(a.bell()).toBe(3)
    expect(refusal(a)[0]).toBe(0)
  })

  it('stays for another try when the queue pair’s state is the reason', () => {
    const a = raw('RC')
    a.pair.initialize()
    a.sends.record().set([WorkRequestOpcode.SEND | flags.signaled, 7])
    expect(a.sends.submit()).toBe(0)
    expect(refusal(a)).toEqual([EINVAL, Refusal.wrongState, 1])
    expect([a.control[Control.cookie], a.control[Control.isReceive], a.sends.consumer]).toEqual([7, 0, 0])
  })
})

describe('the columns of a completion queue', () => {
  it('lie where records.h says', async () => {
    const { made, args } = listen('createCompletionQueue', () =>
      context().createCompletionQueue(10, { batch: 7 }),
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
      () => a.pair.submit(),
      () => native.verbs.queryQueuePair(a.handle),
      () => native.verbs.modifyQueuePair(a.handle, {}),
    ]) {
      expect(call).toThrow(
        expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED', message: 'the queue pair is closed' }),
      )
    }
    expect(native.close(a.handle, 4)).toBe(false)
    a.sends.words.fill(1) // its rings are ordinary memory now
  })
})

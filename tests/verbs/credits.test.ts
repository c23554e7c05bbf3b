import { describe, expect, it } from 'vitest'
import { completions, outcome, rows, thrownBy, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

// rxe rounds a completion queue up to 2^n − 1 places (rxe_queue_init): 127 stays 127.
const places = 127

describe('credits', () => {
  it('are taken by each queue pair and come back when it closes', () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(places)
    expect([cq.entries, cq.freeEntries]).toEqual([places, places])
    const first = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 60, maxReceiveWr: 40 })
    expect(cq.freeEntries).toBe(27)
    expect(
      thrownBy(() => domain.createQueuePair({ type: 'UC', cq, maxSendWr: 28, maxReceiveWr: 1 })),
    ).toMatchObject({
      name: 'VerbsError',
      code: 'ENOSPC',
      errno: -28,
      syscall: 'ibv_create_qp',
      message:
        'ENOSPC: ibv_create_qp: the send completion queue has 27 of 127 places left and maxSendWr is 28: ' +
        'create it larger, or this queue pair smaller',
    })
    expect(
      thrownBy(() => domain.createQueuePair({ type: 'UC', cq, maxSendWr: 20, maxReceiveWr: 8 })).message,
    ).toBe(
      'ENOSPC: ibv_create_qp: the receive completion queue has 7 of 127 places left and maxReceiveWr is 8: ' +
        'create it larger, or this queue pair smaller',
    )
    // The refused call took no credits.
    expect(cq.freeEntries).toBe(27)
    const second = domain.createQueuePair({ type: 'UC', cq, maxSendWr: 20, maxReceiveWr: 7 })
    expect(cq.freeEntries).toBe(0)
    first.close()
    expect(cq.freeEntries).toBe(100)
    second.close()
    expect(cq.freeEntries).toBe(places)
  })

  it('come back when the kernel refuses the queue pair', () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const cq = context.createCompletionQueue(places)
    const error = thrownBy(() =>
      domain.createQueuePair({ type: 'RC', cq, maxSendWr: 8, maxReceiveWr: 8, maxInline: 60_000 }),
    )
    expect(error).toMatchObject({ name: 'VerbsError', code: 'EINVAL', syscall: 'ibv_create_qp' })
    // The bound is the device's: RXE_MAX_INLINE_DATA, in drivers/infiniband/sw/rxe/rxe_param.h.
    const largest = Number(/maxInline 60000: the largest that works here is (\d+)$/.exec(error.message)?.[1])
    expect(cq.freeEntries).toBe(places)
    const pair = domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1, maxInline: largest })
    expect(pair.capabilities.maxInline).toBe(largest)
    pair.close()
    expect(
      thrownBy(() =>
        domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1, maxInline: largest + 1 }),
      ).code,
    ).toBe('EINVAL')
    expect(cq.freeEntries).toBe(places)
  })

  it('count for the queue that each half uses', () => {
    const context = rxe.context()
    const domain = context.allocateProtectionDomain()
    const sendCq = context.createCompletionQueue(places)
    const receiveCq = context.createCompletionQueue(places)
    const pair = domain.createQueuePair({ type: 'RC', sendCq, receiveCq, maxSendWr: 100, maxReceiveWr: 20 })
    expect([sendCq.freeEntries, receiveCq.freeEntries]).toEqual([27, 107])
    expect(pair.sendCq).toBe(sendCq)
    expect(pair.receiveCq).toBe(receiveCq)
    pair.close()
    expect([sendCq.freeEntries, receiveCq.freeEntries]).toEqual([places, places])
  })

  it('suffice: a queue filled to the last place loses nothing', async () => {
    const options = { entries: places, maxSendWr: 63, maxReceiveWr: 64 }
    const [a, b] = rxe.connected('RC', options)
    expect(a.cq.entries).toBe(places)
    for (const side of [a, b]) {
      const receive = side.pair.prepareReceive({})
      for (let i = 0; i < 63; i++) receive.post(1000 + i)
      expect(side.pair.submit()).toBe(63)
    }
    for (const side of [a, b]) {
      const send = side.pair.prepareSend({})
      for (let i = 0; i < 63; i++) send.post(i)
      expect(side.pair.submit()).toBe(63)
    }
    const kinds = async (side: typeof a) => {
      const all = await completions(side.cq, 126)
      return [all.filter(({ cookie }) => cookie < 1000), all.filter(({ cookie }) => cookie >= 1000)]
    }
    for (const side of [a, b]) {
      const [sent, received] = await kinds(side)
      expect(outcome(sent)).toEqual(Array.from({ length: 63 }, (_, i) => [i, 'SUCCESS']))
      expect(outcome(received)).toEqual(Array.from({ length: 63 }, (_, i) => [1000 + i, 'SUCCESS']))
    }
  })

  it('of a closed queue pair are really free: its completions are gone, the others remain', async () => {
    const [a, b] = rxe.connected('RC', { entries: places, maxSendWr: 30, maxReceiveWr: 30 })
    const other = a.domain.createQueuePair({ type: 'RC', cq: a.cq, maxSendWr: 30, maxReceiveWr: 37 })
    expect(a.cq.freeEntries).toBe(0)
    other.initialize()
    const flushed = other.prepareReceive({})
    for (let i = 0; i < 37; i++) flushed.post(500 + i)
    other.submit()
    const receive = b.pair.prepareReceive({})
    const send = a.pair.prepareSend({})
    for (let i = 0; i < 30; i++) {
      receive.post(i)
      send.post(i)
    }
    b.pair.submit()
    a.pair.submit()
    await completions(b.cq, 30)
    other.modify({ state: 'ERR' })
    // 37 flushes and some of the 30 sends are in the queue now.
    other.close()
    expect(a.cq.freeEntries).toBe(67)
    const third = a.domain.createQueuePair({ type: 'RC', cq: a.cq, maxSendWr: 1, maxReceiveWr: 66 })
    third.initialize()
    const more = third.prepareReceive({})
    for (let i = 0; i < 66; i++) more.post(700 + i)
    expect(third.submit()).toBe(66)
    third.modify({ state: 'ERR' })
    const all = outcome(await completions(a.cq, 96))
    expect(all.filter(([cookie]) => cookie < 100)).toEqual(
      Array.from({ length: 30 }, (_, i) => [i, 'SUCCESS']),
    )
    expect(all.filter(([cookie]) => cookie >= 100)).toEqual(
      Array.from({ length: 66 }, (_, i) => [700 + i, 'WR_FLUSH_ERR']),
    )
  })
})

describe('submit', () => {
  it('returns the number accepted, drops a refused request and keeps the following ones', async () => {
    const [a, b] = rxe.connected('RC')
    const gone = a.domain.registerMemory(4096)
    const receive = b.pair.prepareReceive({ memory: b.memory })
    for (let i = 0; i < 6; i++) receive.post(i)
    b.pair.submit()
    const bad = a.pair.prepareSend({ memory: gone })
    const good = a.pair.prepareSend({ memory: a.memory })
    gone.close()
    good.post(1, 0, 10)
    good.post(2, 0, 10)
    bad.post(3, 0, 10)
    good.post(4, 0, 10)
    bad.post(5, 0, 10)
    good.post(6, 0, 10)
    expect(a.pair.error).toBeNull()
    expect(a.pair.submit()).toBe(2)
    expect(a.pair.error).toMatchObject({ name: 'VerbsError', code: 'EINVAL', cookie: 3 })
    expect(a.pair.error?.message).toContain('element 0 names a memory region that is closed')
    expect(a.pair.sendFree).toBe(64 - 2 - 3)
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.error).toMatchObject({ cookie: 5 })
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.error).toBeNull()
    expect(a.pair.submit()).toBe(0)
    expect(outcome(await completions(a.cq, 4))).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
      [4, 'SUCCESS'],
      [6, 'SUCCESS'],
    ])
    await completions(b.cq, 4)
  })

  it('drops a refused receive, and still sends', async () => {
    const [a, b] = rxe.connected('RC')
    const gone = a.domain.registerMemory(4096)
    const bad = a.pair.prepareReceive({ memory: gone })
    gone.close()
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareReceive({ memory: a.memory }).post(10)
    bad.post(11)
    a.pair.prepareReceive({ memory: a.memory }).post(12)
    a.pair.prepareSend({}).post(13)
    expect(a.pair.submit()).toBe(2)
    expect(a.pair.error).toMatchObject({ syscall: 'ibv_post_recv', cookie: 11 })
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.receiveOutstanding).toBe(2)
    expect(outcome(await completions(a.cq, 1))).toEqual([[13, 'SUCCESS']])
  })

  it('keeps requests that come too early, and submits them when the queue pair is connected', async () => {
    const a = rxe.side('RC', 0)
    const b = rxe.side('RC', 1)
    const send = a.pair.prepareSend({ memory: a.memory })
    const receive = b.pair.prepareReceive({ memory: b.memory })
    send.post(1, 0, 10)
    send.post(2, 0, 20)
    receive.post(3)
    receive.post(4)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      syscall: 'ibv_post_send',
      cookie: 1,
      message: 'EINVAL: ibv_post_send: the queue pair is in RESET and must be in RTS: connect() it first',
    })
    expect(b.pair.submit()).toBe(0)
    expect(b.pair.error?.message).toBe(
      'EINVAL: ibv_post_recv: the queue pair is in RESET and must be in INIT or later: connect() it first',
    )
    b.pair.initialize()
    expect(b.pair.submit()).toBe(2) // receives are accepted from INIT on
    a.pair.initialize()
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error?.message).toContain('is in INIT and must be in RTS')
    expect([a.pair.sendFree, a.pair.sendOutstanding]).toEqual([62, 0])
    a.pair.connect(b.pair.endpoint)
    b.pair.connect(a.pair.endpoint)
    expect(a.pair.submit()).toBe(2)
    expect(a.pair.error).toBeNull()
    expect((await completions(b.cq, 2)).map(({ cookie, byteLength }) => [cookie, byteLength])).toEqual([
      [3, 10],
      [4, 20],
    ])
    await completions(a.cq, 2)
  })

  it('refuses inline data longer than the queue pair can', async () => {
    const [a, b] = rxe.connected('RC', { maxInline: 64 })
    const most = a.pair.capabilities.maxInline
    const send = a.pair.prepareSend({ memory: a.memory, inline: true })
    send.post(1, 0, most + 1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({
      code: 'EINVAL',
      cookie: 1,
      message:
        `EINVAL: ibv_post_send: ${most + 1} bytes inline: the most is ${most}; ` +
        'create the queue pair with a larger maxInline',
    })
    b.pair.prepareReceive({ memory: b.memory }).post(2)
    b.pair.submit()
    send.post(3, 0, most)
    expect(a.pair.submit()).toBe(1)
    expect(outcome(await completions(a.cq, 1))).toEqual([[3, 'SUCCESS']])
  })

  it('clears the error of the previous submit', () => {
    const { pair, memory } = rxe.side('RC')
    pair.prepareSend({ memory }).post(1, 0, 1)
    pair.submit()
    expect(pair.error).not.toBeNull()
    pair.modify({ state: 'RESET' })
    expect(pair.submit()).toBe(0)
    expect(pair.error).toBeNull()
    expect(rows(pair.sendCq, pair.sendCq.poll())).toEqual([])
  })
})

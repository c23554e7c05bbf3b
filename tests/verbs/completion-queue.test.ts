import { getEventListeners } from 'node:events'
import { CompletionStatus } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completion, completions, limit, outcome, rows, type Side, thrownBy, useRxe } from '../beds/rxe.js'
import { countNativePolls } from './native-polls.js'

const rxe = useRxe()

/** Posts `count` empty sends from `a` to `b`; both ends' requests have cookies from `first` on. */
function exchange(a: Side, b: Side, count: number, first = 0): void {
  const receive = b.pair.prepareReceive({})
  const send = a.pair.prepareSend({})
  for (let i = 0; i < count; i++) {
    expect(receive.post(first + i)).toBe(0)
    expect(send.post(first + i)).toBe(0)
  }
  expect(b.pair.submit()).toBe(count)
  expect(a.pair.submit()).toBe(count)
}

describe('poll', () => {
  it('returns nothing from an empty queue, and at most a batch from a full one', async () => {
    const [a, b] = rxe.connected('RC', { batch: 5 })
    expect(a.cq.batch).toBe(5)
    expect(a.cq.cookie.length).toBe(5)
    expect(a.cq.poll()).toBe(0)
    exchange(a, b, 12)
    const signal = AbortSignal.timeout(limit)
    const seen: [number, string][] = []
    while (seen.length < 12) {
      const count = await b.cq.wait({ signal })
      expect(count).toBeLessThanOrEqual(5)
      seen.push(...outcome(rows(b.cq, count)))
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => [i, 'SUCCESS']))
    // All twelve send completions are there or come soon: drained in fives.
    expect(outcome(await completions(a.cq, 12)).map(([cookie]) => cookie)).toEqual(
      Array.from({ length: 12 }, (_, i) => i),
    )
    expect(a.cq.poll()).toBe(0)
  })

  it('fills the same columns again', async () => {
    const [a, b] = rxe.connected('RC')
    const { cookie, status } = b.cq
    exchange(a, b, 1, 7)
    await completion(b.cq)
    expect([cookie[0], status[0]]).toEqual([7, CompletionStatus.SUCCESS])
    exchange(a, b, 1, 0xffffffff)
    await completion(b.cq)
    expect(cookie[0]).toBe(0xffffffff)
    expect(b.cq.cookie).toBe(cookie)
    expect(cookie.buffer).toBeInstanceOf(SharedArrayBuffer)
  })

  it('names statuses and opcodes of rows that exist', () => {
    const { cq } = rxe.side('RC', 0, { batch: 2 })
    for (const i of [2, -1, 0.5, Number.NaN]) {
      expect(thrownBy(() => cq.statusName(i))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' })
      expect(thrownBy(() => cq.opcodeName(i)).message).toMatch(/^"i" must be an integer from 0 to 1/)
    }
    cq.status[1] = 250 // a value that a newer kernel may return
    expect(cq.statusName(1)).toBe('UNKNOWN_250')
  })

  it('distinguishes the completions of several queue pairs', async () => {
    const [a, b] = rxe.connected('RC', { entries: 512 })
    const second = [a, b].map(({ domain, cq }) => domain.createQueuePair({ type: 'RC', cq }))
    second[0].connect(second[1].endpoint)
    second[1].connect(second[0].endpoint)
    for (const [pair, cookie] of [
      [b.pair, 1],
      [second[1], 2],
    ] as const) {
      pair.prepareReceive({}).post(cookie)
      pair.submit()
    }
    for (const pair of [second[0], a.pair]) {
      pair.prepareSend({}).post(9)
      pair.submit()
    }
    const done = await completions(b.cq, 2)
    expect(done.find((each) => each.queuePair === b.pair.number)?.cookie).toBe(1)
    expect(done.find((each) => each.queuePair === second[1].number)?.cookie).toBe(2)
    expect((await completions(a.cq, 2)).map((each) => each.queuePair).sort()).toEqual(
      [a.pair.number, second[0].number].sort(),
    )
  })
})

describe('wait', () => {
  it('returns waiting completions at once', async () => {
    const [a, b] = rxe.connected('RC')
    exchange(a, b, 3)
    await completions(a.cq, 3) // acknowledged, so b has them
    expect(await b.cq.wait()).toBe(3)
  })

  it('sleeps until something completes, without polling', async () => {
    using native = countNativePolls()
    const [a, b] = rxe.connected('RC')
    const before = native.polls
    const waiting = b.cq.wait({ signal: AbortSignal.timeout(limit) })
    // Many turns of the loop pass.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    const asleep = native.polls - before
    expect(asleep).toBe(2) // before and after arming
    exchange(a, b, 1, 42)
    expect(await waiting).toBe(1)
    expect(b.cq.cookie[0]).toBe(42)
    expect(native.polls - before).toBe(asleep + 1)
  })

  it('wakes each of many queues on the one channel of a context', async () => {
    const [a, b] = rxe.connected('RC', { entries: 4, maxSendWr: 1, maxReceiveWr: 1 })
    const ends = [[a, b]]
    for (let i = 1; i < 20; i++) {
      const pair = [a, b].map((side) => {
        const cq = side.context.createCompletionQueue(2)
        return {
          ...side,
          cq,
          pair: side.domain.createQueuePair({ type: 'RC', cq, maxSendWr: 1, maxReceiveWr: 1 }),
        }
      })
      pair[0].pair.connect(pair[1].pair.endpoint)
      pair[1].pair.connect(pair[0].pair.endpoint)
      ends.push(pair)
    }
    const signal = AbortSignal.timeout(limit)
    const waits = ends.map(([, there]) => there.cq.wait({ signal }))
    for (const [i, [here, there]] of [...ends.entries()].reverse()) exchange(here, there, 1, i)
    expect(await Promise.all(waits)).toEqual(ends.map(() => 1))
    expect(ends.map(([, there]) => there.cq.cookie[0])).toEqual(ends.map((_, i) => i))
    expect(await Promise.all(ends.map(([here]) => here.cq.wait({ signal })))).toEqual(ends.map(() => 1))
  })

  it('loses no wakeup in hundreds of ping-pongs, two at a time', async () => {
    const rounds = 250
    const signal = AbortSignal.timeout(limit)
    const play = async ([a, b]: [Side, Side]) => {
      const run = async (me: Side, serve: boolean) => {
        const receive = me.pair.prepareReceive({ memory: me.memory })
        const send = me.pair.prepareSend({ memory: me.memory, signaled: false })
        let got = 0
        receive.post(0, 64, 8)
        me.pair.submit()
        if (serve) {
          send.post(0, 0, 8)
          me.pair.submit()
        }
        while (got < rounds) {
          const count = await me.cq.wait({ signal })
          for (let i = 0; i < count; i++) {
            expect(me.cq.statusName(i)).toBe('SUCCESS')
            expect(me.cq.cookie[i]).toBe(got)
            got++
            receive.post(got, 64, 8)
            if (serve || got <= rounds) send.post(got, 0, 8)
            me.pair.submit()
          }
        }
        return got
      }
      return Promise.all([run(b, false), run(a, true)])
    }
    const games = [rxe.connected('RC'), rxe.connected('RC')]
    expect(await Promise.all(games.map(play))).toEqual([
      [rounds, rounds],
      [rounds, rounds],
    ])
  })

  it('rejects with the reason of a signal, aborted before or during', async () => {
    const { cq } = rxe.side('RC')
    const reason = new Error('enough')
    await expect(cq.wait({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const waiting = cq.wait({ signal: controller.signal })
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    // Nothing remains of it: the next wait may start, and abort, in turn.
    const again = new AbortController()
    const next = cq.wait({ signal: again.signal })
    again.abort()
    await expect(next).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('leaves no listener on a signal that outlives it', async () => {
    const [a, b] = rxe.connected('RC')
    const { signal } = new AbortController()
    const waiting = b.cq.wait({ signal })
    const event = b.context.nextEvent({ signal }).catch((error) => error.code)
    expect(getEventListeners(signal, 'abort')).toHaveLength(2)
    exchange(a, b, 1)
    await waiting
    await b.cq.spin(0, { signal })
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    const closed = b.cq.wait({ signal }).catch((error) => error.code)
    b.context.close()
    expect([await closed, await event]).toEqual(['ERR_IBVERBS_CLOSED', 'ERR_IBVERBS_CLOSED'])
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  it('ends on many queues by one signal, without a warning of listeners that leak', async () => {
    const { context } = rxe.side('RC')
    const queues = Array.from({ length: 12 }, () => context.createCompletionQueue(1))
    const warnings: string[] = []
    const warned = ({ name }: Error) => warnings.push(name)
    process.on('warning', warned)
    try {
      const controller = new AbortController()
      const waits = queues.map((queue) => queue.wait({ signal: controller.signal }))
      const reason = new Error('over')
      controller.abort(reason)
      const ends = await Promise.allSettled(waits)
      expect(ends).toEqual(queues.map(() => ({ status: 'rejected', reason })))
      // Node emits warnings in their own tick.
      await new Promise((resolve) => setImmediate(resolve))
    } finally {
      process.off('warning', warned)
    }
    expect(warnings).toEqual([])
  })

  it('delivers completions that came during an aborted wait', async () => {
    const [a, b] = rxe.connected('RC')
    const controller = new AbortController()
    const waiting = b.cq.wait({ signal: controller.signal })
    controller.abort()
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
    exchange(a, b, 1, 5)
    expect(await completion(b.cq)).toMatchObject({ cookie: 5 })
    exchange(a, b, 1, 6)
    expect(await completion(b.cq)).toMatchObject({ cookie: 6 })
  })

  it('refuses a second consumer', async () => {
    const [a, b] = rxe.connected('RC')
    const first = b.cq.wait({ signal: AbortSignal.timeout(limit) })
    const busy = { code: 'ERR_IBVERBS_BUSY', message: 'somebody waits on this completion queue already' }
    await expect(b.cq.wait()).rejects.toMatchObject(busy)
    await expect(b.cq.spin(1)).rejects.toMatchObject(busy)
    exchange(a, b, 1, 3)
    expect(await first).toBe(1)
    const spinning = b.cq.spin(limit * 1000)
    await expect(b.cq.wait()).rejects.toMatchObject(busy)
    exchange(a, b, 1, 4)
    expect(await spinning).toBe(1)
  })

  it.each(['queue', 'context'] as const)('rejects when the %s is closed', async (what) => {
    const { cq, context } = rxe.side('RC')
    const waiting = cq.wait()
    const next = context.nextEvent()
    if (what === 'queue') cq.close()
    else context.close()
    await expect(waiting).rejects.toMatchObject({
      code: 'ERR_IBVERBS_CLOSED',
      message: 'the completion queue is closed',
    })
    if (what === 'queue') context.close()
    await expect(next).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED', message: 'the context is closed' })
    await expect(cq.wait()).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    await expect(cq.spin(1)).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    expect(thrownBy(() => cq.poll())).toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })

  it('may close everything from the first of many wakeups', async () => {
    const { context, domain, pair, cq } = rxe.side('RC')
    const queues = [cq, ...Array.from({ length: 5 }, () => context.createCompletionQueue(128))]
    const pairs = [pair, ...queues.slice(1).map((queue) => domain.createQueuePair({ type: 'RC', cq: queue }))]
    for (const each of pairs) {
      each.initialize()
      each.prepareReceive({}).post(1)
      each.submit()
    }
    const waits = queues.map((queue) =>
      queue.wait().then(
        (count) => {
          context.close() // while the binding is delivering the other queues' events
          return count
        },
        (error) => error.code,
      ),
    )
    for (const each of pairs) each.modify({ state: 'ERR' })
    const ended = await Promise.all(waits)
    expect(ended.filter((each) => each === 1)).toHaveLength(1)
    expect(ended.filter((each) => each === 'ERR_IBVERBS_CLOSED')).toHaveLength(5)
  })

  it('delivers a failure, and does not throw it', async () => {
    const { pair, cq, memory } = rxe.side('RC')
    pair.initialize()
    pair.prepareReceive({ memory }).post(5)
    pair.submit()
    const waiting = cq.wait({ signal: AbortSignal.timeout(limit) })
    pair.modify({ state: 'ERR' })
    expect(await waiting).toBe(1)
    expect(outcome(rows(cq, 1))).toEqual([[5, 'WR_FLUSH_ERR']])
  })
})

describe('spin', () => {
  it('returns 0 when the time is up, and no earlier', async () => {
    const { cq } = rxe.side('RC')
    const start = performance.now()
    expect(await cq.spin(20_000)).toBe(0)
    expect(performance.now() - start).toBeGreaterThanOrEqual(20)
    expect(await cq.spin(0)).toBe(0)
  })

  it('returns completions that come meanwhile', async () => {
    const [a, b] = rxe.connected('RC')
    const spinning = b.cq.spin(limit * 1000)
    setImmediate(() => exchange(a, b, 1, 11))
    expect(await spinning).toBe(1)
    expect(b.cq.cookie[0]).toBe(11)
  })

  it('lets timers and immediates run, and honours a signal', async () => {
    const { cq } = rxe.side('RC')
    const controller = new AbortController()
    let ticks = 0
    const timer = setInterval(() => {
      if (++ticks === 3) controller.abort(new Error('three ticks'))
    }, 1)
    try {
      await expect(cq.spin(limit * 1000, { signal: controller.signal })).rejects.toThrow('three ticks')
      expect(ticks).toBe(3)
    } finally {
      clearInterval(timer)
    }
    await expect(cq.spin(1, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
    expect(await cq.spin(1)).toBe(0)
  })

  it('rejects when the queue is closed meanwhile', async () => {
    const { cq } = rxe.side('RC')
    const spinning = cq.spin(limit * 1000)
    setImmediate(() => cq.close())
    await expect(spinning).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })
})

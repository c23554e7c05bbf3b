import type { AsyncEvent, Context } from 'ibverbs'
import { afterEach, describe, expect, it } from 'vitest'
import { execFileSync } from '../beds/child.js'
import { completion, completions, limit, netdevs, outcome, rows, until, useRxe } from '../beds/rxe.js'

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' })
const linkLocal = () =>
  netdevs.every((name) => /inet6 fe80::\S+ scope link(?! tentative)/.test(ip('addr', 'show', name)))

// Restores the wire after each test, whatever the test did to it: link, address and GID. Runs before the handles close
// (vitest ends with the hooks in reverse order).
const rxe = useRxe()
afterEach(async () => {
  for (const name of netdevs) ip('link', 'set', name, 'up')
  await until(linkLocal)
  for (const device of [0, 1] as const) {
    const context = rxe.context(device)
    await until(() => context.queryGidTable().some(({ gid }) => gid.startsWith('fe80::')))
    await until(() => context.queryPort().state === 'ACTIVE')
  }
})

/** The next event of the given type; skips others (GID_CHANGE comes with the address). */
async function next(context: Context, type: AsyncEvent['type']): Promise<AsyncEvent> {
  const signal = AbortSignal.timeout(limit)
  for (;;) {
    const event = await context.nextEvent({ signal })
    if (event.type === type) return event
  }
}

describe('a link that goes down', () => {
  it('in mid-traffic is PORT_ERR, and the requests under way fail by name', async () => {
    const [a, b] = rxe.connected('RC', {}, { retryCount: 2, timeout: 12 })
    const receive = b.pair.prepareReceive({})
    const idle = a.pair.prepareReceive({})
    idle.post(900)
    a.pair.submit()
    const send = a.pair.prepareSend({})
    const down = next(b.context, 'PORT_ERR')
    const downHere = next(a.context, 'PORT_ERR')
    for (let i = 0; i < 60; i++) receive.post(i)
    b.pair.submit()
    for (let i = 0; i < 20; i++) send.post(i)
    a.pair.submit()
    await completions(b.cq, 20)
    ip('link', 'set', netdevs[1], 'down')
    for (let i = 20; i < 40; i++) send.post(i)
    expect(a.pair.submit()).toBe(20)
    const all = outcome(await completions(a.cq, 41))
    const sends = all.filter(([cookie]) => cookie < 900)
    const failed = sends.findIndex(([, status]) => status !== 'SUCCESS')
    expect(failed).toBeGreaterThanOrEqual(20)
    expect(sends.map(([cookie]) => cookie)).toEqual(Array.from({ length: 40 }, (_, i) => i))
    expect(sends[failed][1]).toBe('RETRY_EXC_ERR')
    expect(new Set(sends.slice(failed + 1).map(([, status]) => status))).toEqual(new Set(['WR_FLUSH_ERR']))
    expect(all.filter(([cookie]) => cookie === 900)).toEqual([[900, 'WR_FLUSH_ERR']])
    expect(a.pair.state).toBe('ERR')

    expect(await down).toEqual({ type: 'PORT_ERR', port: 1 })
    // A veth end has no carrier without its peer: the other device gets the event too.
    expect(await downHere).toEqual({ type: 'PORT_ERR', port: 1 })
    expect(b.context.queryPort().state).toBe('DOWN')

    ip('link', 'set', netdevs[1], 'up')
    expect(await next(b.context, 'PORT_ACTIVE')).toEqual({ type: 'PORT_ACTIVE', port: 1 })
    await until(() => b.context.queryPort().state === 'ACTIVE')
    await until(linkLocal)
    await until(() => b.context.queryGidTable().length > 0)

    // The same queue pairs, reset, carry data again.
    for (const side of [a, b]) side.pair.modify({ state: 'RESET' })
    a.pair.connect(b.pair.endpoint)
    b.pair.connect(a.pair.endpoint)
    receive.post(1)
    b.pair.submit()
    send.post(2)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 1, status: 'SUCCESS' })
  })

  it('reports to every context of the device, in order', async () => {
    const contexts = [rxe.context(0), rxe.context(0)]
    ip('link', 'set', netdevs[0], 'down')
    ip('link', 'set', netdevs[0], 'up')
    for (const context of contexts) {
      // Events are kept from the moment the context opens, even without a wait.
      const seen: string[] = []
      for await (const event of context.events({ signal: AbortSignal.timeout(limit) })) {
        if (event.type.startsWith('PORT_')) seen.push(event.type)
        if (seen.length === 2) break
      }
      expect(seen).toEqual(['PORT_ERR', 'PORT_ACTIVE'])
    }
  })
})

describe('events of a queue pair', () => {
  it('name the queue pair object itself', async () => {
    // Of a queue pair's events, rxe of Linux 6.1 raises SQ_DRAINED: in SQD, when no request is under way any more.
    const [a, b] = rxe.connected('RC')
    a.pair.modify({ state: 'SQD' })
    expect(await next(a.context, 'SQ_DRAINED')).toEqual({ type: 'SQ_DRAINED', queuePair: a.pair })
    b.pair.modify({ state: 'SQD' })
    expect(await next(b.context, 'SQ_DRAINED')).toHaveProperty('queuePair', b.pair)
  })

  it('of a closed one name no object or come before the close, and do not block it', async () => {
    const [a] = rxe.connected('RC')
    a.pair.modify({ state: 'SQD' })
    a.pair.close()
    expect(a.pair.closed).toBe(true)
    // The next event is the port's, unless the queue pair's had been read before the close.
    ip('link', 'set', netdevs[0], 'down')
    const signal = AbortSignal.timeout(limit)
    let event = await a.context.nextEvent({ signal })
    if (event.type === 'SQ_DRAINED') {
      expect(event.queuePair).toBeOneOf([undefined, a.pair])
      event = await a.context.nextEvent({ signal })
    }
    expect(event.type).toBe('PORT_ERR')
  })
})

describe('nextEvent', () => {
  it('refuses a second caller, honours a signal, and goes on', async () => {
    const context = rxe.context(0)
    const reason = new Error('no more')
    await expect(context.nextEvent({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const first = context.nextEvent({ signal: controller.signal })
    await expect(context.nextEvent()).rejects.toMatchObject({
      code: 'ERR_IBVERBS_BUSY',
      message: 'somebody waits for an event of this context already',
    })
    controller.abort(reason)
    await expect(first).rejects.toBe(reason)
    const again = next(context, 'PORT_ERR')
    ip('link', 'set', netdevs[0], 'down')
    expect(await again).toEqual({ type: 'PORT_ERR', port: 1 })
  })

  it('rejects, and events() ends, when the context is closed', async () => {
    const context = rxe.context(0)
    const waiting = context.nextEvent()
    context.close()
    await expect(waiting).rejects.toMatchObject({
      code: 'ERR_IBVERBS_CLOSED',
      message: 'the context is closed',
    })
    await expect(context.nextEvent()).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
    for await (const event of context.events()) expect(event).toBe('none')

    const other = rxe.context(0)
    const seen: AsyncEvent[] = []
    const iteration = (async () => {
      for await (const event of other.events()) seen.push(event)
    })()
    await new Promise((resolve) => setImmediate(resolve))
    other.close()
    await iteration
    expect(seen).toEqual([])
  })

  it('may close the context from the first of several events', async () => {
    const context = rxe.context(0)
    const closed = context.nextEvent().then((event) => {
      context.close()
      return event.type
    })
    // Down, up and the change of the address come together.
    ip('link', 'set', netdevs[0], 'down')
    ip('link', 'set', netdevs[0], 'up')
    expect(await closed).toBe('PORT_ERR')
    expect(context.closed).toBe(true)
  })

  it('does not disturb completions on the other descriptor', async () => {
    const [a, b] = rxe.connected('RC')
    const event = next(a.context, 'PORT_ERR')
    b.pair.prepareReceive({}).post(1)
    b.pair.submit()
    a.pair.prepareSend({}).post(2)
    a.pair.submit()
    expect(outcome(rows(b.cq, await b.cq.wait({ signal: AbortSignal.timeout(limit) })))).toEqual([
      [1, 'SUCCESS'],
    ])
    ip('link', 'set', netdevs[0], 'down')
    expect((await event).type).toBe('PORT_ERR')
  })
})

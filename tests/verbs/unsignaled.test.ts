import { describe, expect, it } from 'vitest'
import { completion, completions, limit, outcome, rows, until, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

describe('unsignalled requests', () => {
  it('give only the requested completions', async () => {
    const [a, b] = rxe.connected('RC')
    const receive = b.pair.prepareReceive({})
    for (let i = 0; i < 10; i++) receive.post(i)
    b.pair.submit()
    const silent = a.pair.prepareSend({ signaled: false })
    const loud = a.pair.prepareSend({})
    for (let i = 0; i < 9; i++) silent.post(i)
    loud.post(9)
    expect(a.pair.submit()).toBe(10)
    expect(a.pair.sendOutstanding).toBe(10)
    expect(outcome(await completions(a.cq, 1))).toEqual([[9, 'SUCCESS']])
    // The one completion retired all requests before it.
    expect(a.pair.sendOutstanding).toBe(0)
    expect(a.pair.sendFree).toBe(64)
    expect(await completions(b.cq, 10)).toHaveLength(10)
    expect(a.cq.poll()).toBe(0)
  })

  it.each([1, 2, 5, 8])('keep a queue of %i moving without a single wanted completion', async (depth) => {
    const total = depth * 10
    const [a, b] = rxe.connected('RC', { maxSendWr: depth, maxReceiveWr: 100 })
    const receive = b.pair.prepareReceive({})
    for (let i = 0; i < total; i++) receive.post(i)
    expect(b.pair.submit()).toBe(total)
    const silent = a.pair.prepareSend({ signaled: false })
    const deadline = performance.now() + limit
    for (let sent = 0; sent < total; ) {
      expect(performance.now()).toBeLessThan(deadline)
      while (sent < total && silent.post(sent) === 0) sent++
      a.pair.submit()
      expect(a.pair.error).toBeNull()
      expect(a.pair.sendOutstanding).toBeLessThanOrEqual(depth)
      // The poll retires the requests that the forced completion covers and shows none of them.
      expect(a.cq.poll()).toBe(0)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await completions(b.cq, total)).map((each) => each.cookie)).toEqual(
      Array.from({ length: total }, (_, i) => i),
    )
    // At most the requests since the last forced completion stay outstanding: less than half the queue.
    await until(() => {
      expect(a.cq.poll()).toBe(0)
      return a.pair.sendOutstanding < Math.max(1, depth / 2)
    })
  })

  it('are released by one requested completion after them', async () => {
    const [a, b] = rxe.connected('RC', { maxSendWr: 8 })
    const receive = b.pair.prepareReceive({})
    for (let i = 0; i < 3; i++) receive.post(i)
    b.pair.submit()
    const silent = a.pair.prepareSend({ signaled: false })
    silent.post(1)
    silent.post(2)
    expect(a.pair.submit()).toBe(2)
    await completions(b.cq, 2)
    expect(a.cq.poll()).toBe(0)
    expect(a.pair.sendOutstanding).toBe(2)
    a.pair.prepareSend({}).post(3)
    a.pair.submit()
    expect(outcome(await completions(a.cq, 1))).toEqual([[3, 'SUCCESS']])
    expect(a.pair.sendOutstanding).toBe(0)
  })

  it('show their failures, forced or not', async () => {
    const [a, b] = rxe.connected('RC', { maxSendWr: 8 }, { rnrRetry: 0, minRnrTimer: 1 })
    expect(b.pair.receiveOutstanding).toBe(0)
    const silent = a.pair.prepareSend({ signaled: false })
    for (let i = 0; i < 6; i++) silent.post(i)
    expect(a.pair.submit()).toBe(6)
    expect(outcome(await completions(a.cq, 6))).toEqual([
      [0, 'RNR_RETRY_EXC_ERR'],
      [1, 'WR_FLUSH_ERR'],
      [2, 'WR_FLUSH_ERR'],
      [3, 'WR_FLUSH_ERR'],
      [4, 'WR_FLUSH_ERR'],
      [5, 'WR_FLUSH_ERR'],
    ])
    expect(a.pair.sendOutstanding).toBe(0)
  })

  it('that succeeded stay silent when a later one fails', async () => {
    const [a, b] = rxe.connected('RC', {}, { rnrRetry: 0, minRnrTimer: 1 })
    b.pair.prepareReceive({}).post(0)
    b.pair.submit()
    const silent = a.pair.prepareSend({ signaled: false })
    silent.post(1)
    silent.post(2)
    a.pair.submit()
    await completion(b.cq)
    expect(outcome(await completions(a.cq, 1))).toEqual([[2, 'RNR_RETRY_EXC_ERR']])
    expect(a.pair.sendOutstanding).toBe(0)
  })

  it('are released by RESET, and by close', async () => {
    const [a, b] = rxe.connected('RC')
    const receive = b.pair.prepareReceive({})
    for (let i = 0; i < 5; i++) receive.post(i)
    b.pair.submit()
    const silent = a.pair.prepareSend({ signaled: false })
    for (let i = 0; i < 5; i++) silent.post(i)
    a.pair.submit()
    await completions(b.cq, 5)
    expect(a.pair.sendOutstanding).toBe(5)
    a.pair.modify({ state: 'RESET' })
    expect(a.pair.sendOutstanding).toBe(0)
    expect(a.pair.sendFree).toBe(64)
    expect(b.pair.receiveOutstanding).toBe(0)
  })
})

describe('a full send queue', () => {
  it.each([4, 5])('of %i requests refuses with -1 and takes more after a poll', async (depth) => {
    const [a, b] = rxe.connected('RC', { maxSendWr: depth, maxReceiveWr: 16 })
    const receive = b.pair.prepareReceive({})
    for (let i = 0; i < 16; i++) receive.post(i)
    expect(receive.post(16)).toBe(-1)
    expect(b.pair.receiveFree).toBe(0)
    expect(b.pair.submit()).toBe(16)
    expect(receive.post(16)).toBe(-1)
    const send = a.pair.prepareSend({})
    for (let cookie = 0; cookie < depth; cookie++) expect(send.post(cookie)).toBe(0)
    expect(send.post(depth)).toBe(-1)
    expect(a.pair.sendFree).toBe(0)
    // Also with the device: submitted is not yet completed.
    expect(a.pair.submit()).toBe(depth)
    expect(send.post(depth)).toBe(-1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toBeNull()
    await completions(b.cq, depth)
    const done: [number, string][] = []
    const signal = AbortSignal.timeout(limit)
    done.push(...outcome(rows(a.cq, await a.cq.wait({ signal }))))
    expect(a.pair.sendFree).toBe(done.length)
    for (let i = 0; i < done.length; i++) expect(send.post(10 + i)).toBe(0)
    expect(send.post(99)).toBe(-1)
    expect(a.pair.submit()).toBe(done.length)
    expect(done[0]).toEqual([0, 'SUCCESS'])
    const rest = outcome(await completions(a.cq, depth))
    expect(rest.at(-1)).toEqual([10 + done.length - 1, 'SUCCESS'])
  })
})

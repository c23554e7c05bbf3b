/** Messages by the driver of ibverbs/mlx5: what becomes of requests when their queue pair is reset, closed or forgotten. */
import type { QueuePair } from 'ibverbs'
import { createCompletionQueue, createQueuePair } from 'ibverbs/mlx5'
import { describe, expect, test } from 'vitest'
import { native } from '../../dist/native.js'
import { collectGarbage, thrownBy } from '../beds/process.js'
import { openDevice, side, size, useMessages } from './messages.js'

useMessages()

/** Several pairs of one device that send to themselves, over one completion queue that is as large as they need. */
function shared(count: number, depth: number) {
  const context = openDevice()
  const domain = context.allocateProtectionDomain()
  const memory = domain.registerMemory(size)
  const cq = createCompletionQueue(domain, count * 2 * depth, { driver: 'mlx5' })
  const make = (): QueuePair => {
    const [maxSendWr, maxReceiveWr] = [depth, depth]
    const pair = createQueuePair(domain, { type: 'RC', cq, driver: 'mlx5', maxSendWr, maxReceiveWr })
    pair.connect(pair.endpoint)
    return pair
  }
  /** Sends `depth` messages to itself, and waits until the device has done so. */
  const fill = async (pair: QueuePair, cookie: number): Promise<void> => {
    for (let i = 0; i < depth; i++) {
      pair.prepareReceive({ memory }).post(cookie + i, 0, 100)
      pair.prepareSend({ memory }).post(cookie + i, 0, 10)
    }
    expect(pair.submit()).toBe(2 * depth)
    await pair.drain()
  }
  return { context, cq, make, fill }
}

describe('entries that nobody has polled', () => {
  test.each(['reset', 'closed'] as const)(
    'of a queue pair that is %s are gone, their places free',
    async (how) => {
      const depth = 8
      const { context, cq, make, fill } = shared(3, depth)
      const pairs = [make(), make(), make()]
      let cookie = 0
      for (let lap = 0; lap < 6; lap++) {
        const wanted: number[] = []
        const went = lap % 3
        for (const [i, pair] of pairs.entries()) {
          await fill(pair, cookie)
          if (i !== went) for (let k = 0; k < depth; k++) wanted.push(cookie + k)
          cookie += depth
        }
        // Nothing was polled: the queue is full.
        const pair = pairs[went]
        if (how === 'reset') {
          pair.modify({ state: 'RESET' })
          pair.connect(pair.endpoint)
        } else {
          pair.close()
          pairs[went] = make()
        }
        // As many fit in again.
        await fill(pairs[went], cookie)
        for (let k = 0; k < depth; k++) wanted.push(cookie + k)
        cookie += depth
        const seen: number[] = []
        const states = new Set<string>()
        for (let n = cq.poll(); n > 0; n = cq.poll()) {
          for (let i = 0; i < n; i++) {
            states.add(cq.statusName(i))
            if (cq.opcodeName(i) === 'RECV') seen.push(cq.cookie[i])
          }
        }
        expect(seen).toEqual(wanted)
        expect([...states]).toEqual(['SUCCESS'])
        expect(pairs.map((each) => each.sendOutstanding + each.receiveOutstanding)).toEqual([0, 0, 0])
      }
      expect(cq.freeEntries).toBe(cq.entries - 6 * depth)
      context.close()
    },
  )
})

describe('the end', () => {
  const things = ['pair', 'sendCq', 'receiveCq', 'memory', 'domain'] as const
  const orders = (left: readonly string[]): string[][] =>
    left.length < 2
      ? [[...left]]
      : left.flatMap((one) => orders(left.filter((each) => each !== one)).map((rest) => [one, ...rest]))

  test('closing in every order, with requests under way, harms nobody; calls then say that it is closed', () => {
    for (const order of orders(things)) {
      const a = side('mlx5')
      a.pair.connect(a.pair.endpoint)
      const receive = a.pair.prepareReceive({ memory: a.memory })
      for (let i = 0; i < 4; i++) receive.post(i)
      a.pair.prepareSend({ memory: a.memory }).post(1, 0, 100)
      expect(a.pair.submit()).toBe(5)
      for (const name of order) {
        const each = a[name as (typeof things)[number]]
        each.close()
      }
      expect(a.pair.closed && a.sendCq.closed && a.receiveCq.closed).toBe(true)
      expect(thrownBy(() => a.pair.submit()).code).toBe('ERR_IBVERBS_CLOSED')
      expect(thrownBy(() => a.sendCq.poll()).code).toBe('ERR_IBVERBS_CLOSED')
      expect(a.pair.sendOutstanding).toBe(0)
      a.context.close()
    }
  })

  test('a wait ends with its queue', async () => {
    const a = side('mlx5')
    const waiting = a.sendCq.wait()
    a.context.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_IBVERBS_CLOSED' })
  })

  test('what is no longer reachable is freed', async () => {
    ;(() => {
      const a = side('mlx5')
      a.pair.connect(a.pair.endpoint)
      a.pair.prepareSend({ memory: a.memory }).post(1, 0, 8)
      a.pair.submit()
    })()
    while (native.handleCount() > 0) await collectGarbage()
  })
})

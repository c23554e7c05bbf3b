/** Messages by the driver of ibverbs/mlx5: what becomes of requests when their queue pair fails. */
import { describe, expect, test } from 'vitest'
import { completions, outcome } from '../beds/rxe.js'
import { connect, connected, useMessages } from './messages.js'

useMessages()

describe('a queue pair that fails', () => {
  test('tells of the request that failed, flushes those behind it, unsignalled too, and its receives', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    for (const cookie of [1, 2]) a.pair.prepareReceive({ memory: a.memory }).post(cookie, 0, 100)
    a.pair.submit()
    const remote = { ...b.memory.remote, rkey: b.memory.rkey ^ 0x100 }
    a.pair.prepareWrite({ memory: a.memory, remote }).post(10, 0, 8)
    a.pair.prepareSend({ memory: a.memory, signaled: false }).post(11, 0, 8)
    a.pair.prepareFetchAndAdd({ memory: a.memory, remote: b.memory.remote }).post(12, 0, 0, 1, 0)
    expect(a.pair.submit()).toBe(3)
    expect((await completions(a.sendCq, 3)).map(({ cookie, status }) => [cookie, status])).toEqual([
      [10, 'REM_ACCESS_ERR'],
      [11, 'WR_FLUSH_ERR'],
      [12, 'WR_FLUSH_ERR'],
    ])
    expect(outcome(await completions(a.receiveCq, 2))).toEqual([
      [1, 'WR_FLUSH_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ])
    expect([a.pair.state, a.pair.sendOutstanding, a.pair.receiveOutstanding]).toEqual(['ERR', 0, 0])
    a.pair.modify({ state: 'RESET' })
    b.pair.modify({ state: 'RESET' })
    connect(a.pair, b.pair)
    b.pair.prepareReceive({ memory: b.memory }).post(5)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(6, 0, 100)
    expect(a.pair.submit()).toBe(1)
    expect(outcome(await completions(a.sendCq, 1))).toEqual([[6, 'SUCCESS']])
    expect(outcome(await completions(b.receiveCq, 1))).toEqual([[5, 'SUCCESS']])
  })
})

/** Messages by the driver of ibverbs/mlx5: waits that sleep. */
import { describe, expect, test } from 'vitest'
import { completions } from '../beds/rxe.js'
import { connected, useMessages } from './messages.js'

useMessages()

describe('sleeping', () => {
  test('five hundred times on either side, and none is lost', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    const ends = [a, b].map((end) => ({
      ...end,
      send: end.pair.prepareSend({ memory: end.memory, signaled: false }),
    }))
    for (const { pair, memory } of ends) {
      for (let i = 0; i < 8; i++) pair.prepareReceive({ memory }).post(i, 1024, 64)
      pair.submit()
    }
    const turn = async (from: number, solicitedOnly: boolean): Promise<void> => {
      const { pair, send } = ends[from]
      const { receiveCq, pair: peer, memory } = ends[1 - from]
      const coming = receiveCq.wait({ solicitedOnly })
      if (solicitedOnly)
        pair.prepareSend({ memory: ends[from].memory, signaled: false, solicited: true }).post(1, 0, 8)
      else send.post(1, 0, 8)
      expect(pair.submit()).toBe(1)
      expect(await coming).toBe(1)
      peer.prepareReceive({ memory }).post(1, 1024, 64)
      peer.submit()
      ends[from].sendCq.poll()
    }
    for (let i = 0; i < 500; i++) {
      await turn(0, i % 2 === 0)
      await turn(1, i % 3 === 0)
    }
  })

  test('a wait that was aborted takes its event along: the next sleeps, and wakes', async () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a, b } = both
    for (let i = 0; i < 20; i++) {
      b.pair.prepareReceive({ memory: b.memory }).post(i)
      b.pair.submit()
      const controller = new AbortController()
      const aborted = b.receiveCq.wait({ signal: controller.signal })
      controller.abort()
      await expect(aborted).rejects.toThrow('aborted')
      const waiting = b.receiveCq.wait()
      a.pair.prepareSend({ memory: a.memory }).post(i, 0, 8)
      a.pair.submit()
      expect(await waiting).toBe(1)
      await completions(a.sendCq, 1)
    }
  })
})

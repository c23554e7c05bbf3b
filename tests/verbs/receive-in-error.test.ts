/**
 * Receives that are posted while a queue pair is in ERR are flushed (InfiniBand 10.3.1), also for a program that only
 * polls. A post writes a record in memory and makes no call, so a sleeping device has to look by itself.
 */
import { setTimeout } from 'node:timers/promises'
import { CompletionStatus } from 'ibverbs'
import { describe, expect, it } from 'vitest'
import { completion, type Side, until, useRxe } from '../beds/rxe.js'

const rxe = useRxe()

/** Posts a receive and polls, which neither arms the queue nor calls the kernel. */
async function flushed({ pair, cq, memory }: Side, cookie: number): Promise<void> {
  pair.prepareReceive({ memory }).post(cookie)
  expect(pair.submit()).toBe(1)
  await until(() => cq.poll() === 1)
  expect([cq.cookie[0], cq.status[0]]).toEqual([cookie, CompletionStatus.WR_FLUSH_ERR])
}

describe('a receive that is posted in ERR is flushed', () => {
  it('after modify()', async () => {
    const [, b] = rxe.connected('RC')
    b.pair.modify({ state: 'ERR' })
    for (const cookie of [1, 2, 3]) {
      await setTimeout(20) // asleep, if it sleeps at all
      await flushed(b, cookie)
    }
  })

  it('after a failure in the device', async () => {
    const [a, b] = rxe.connected('RC')
    const remote = { ...b.memory.remote, rkey: (b.memory.rkey ^ 0x5500) >>> 0 }
    a.pair.prepareWrite({ memory: a.memory, remote }).post(1, 0, 8)
    a.pair.submit()
    expect(await completion(a.cq)).toMatchObject({ cookie: 1, status: 'REM_ACCESS_ERR' })
    // One of the two had a completion that failed, the other an event at most.
    for (const side of [a, b]) {
      await until(() => side.pair.state === 'ERR')
      await setTimeout(20)
      await flushed(side, 7)
      await flushed(side, 8)
    }
  })

  it('and works normally after RESET', async () => {
    const [a, b] = rxe.connected('RC')
    b.pair.modify({ state: 'ERR' })
    await flushed(b, 1)
    for (const { pair } of [a, b]) pair.modify({ state: 'RESET' })
    a.pair.connect(b.pair.endpoint)
    b.pair.connect(a.pair.endpoint)
    b.pair.prepareReceive({ memory: b.memory }).post(2)
    b.pair.submit()
    a.pair.prepareSend({ memory: a.memory }).post(3, 0, 8)
    a.pair.submit()
    expect(await completion(b.cq)).toMatchObject({ cookie: 2, status: 'SUCCESS', byteLength: 8 })
    expect(b.pair.state).toBe('RTS')
  })
})

/** Messages by the driver of ibverbs/mlx5: the longest and the shortest requests, and those that it refuses. */
import type { MemoryRegion } from 'ibverbs'
import { describe, expect, test } from 'vitest'
import { completions, outcome, pattern } from '../beds/rxe.js'
import { connected, side, size, useMessages } from './messages.js'

useMessages()

describe('the bounds of a request', () => {
  test('inline data of every length up to the granted, from every place of the ring, aligned or not', async () => {
    using both = connected(['mlx5', 'libibverbs'], { maxInline: 200, maxSendWr: 4 })
    const { a, b } = both
    a.memory.bytes.set(pattern(size, 5))
    const { maxInline } = a.pair.capabilities
    expect(maxInline).toBeGreaterThanOrEqual(200)
    const send = a.pair.prepareSend({ memory: a.memory, inline: true })
    for (let length = 0; length <= maxInline; length++) {
      b.pair.prepareReceive({ memory: b.memory }).post(length, 0, 4096)
      b.pair.submit()
      send.post(length, 64 + (length & 7), length)
      // They may change right after submit.
      expect(a.pair.submit()).toBe(1)
      const wanted = Buffer.from(a.memory.bytes.subarray(64 + (length & 7), 64 + (length & 7) + length))
      await completions(b.receiveCq, 1)
      expect(b.receiveCq.byteLength[0]).toBe(length)
      expect(Buffer.from(b.memory.bytes.subarray(0, length)).equals(wanted)).toBe(true)
      await completions(a.sendCq, 1)
    }
    send.post(1, 0, maxInline + 1)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error).toMatchObject({ code: 'EINVAL', cookie: 1, syscall: 'ibv_post_send' })
    expect(a.pair.error?.message).toContain(`${maxInline + 1} bytes inline: the most is ${maxInline}`)
  })

  test('a list of every length; elements of no bytes take no place', async () => {
    const most = 12
    using both = connected(['mlx5', 'mlx5'], {
      maxSendSge: most,
      maxReceiveSge: most,
      maxSendWr: 3,
      maxReceiveWr: 3,
    })
    const { a, b } = both
    a.memory.bytes.set(pattern(size, 6))
    for (let count = 0; count <= most; count++) {
      const elements = Array.from({ length: count }, (_, i) => ({
        offset: i * 100,
        length: i % 3 === 1 ? 0 : i + 1,
      }))
      const of = (memory: MemoryRegion) => elements.map((element) => ({ memory, ...element }))
      b.memory.bytes.fill(0)
      b.pair.prepareReceive({ elements: of(b.memory) }).post(count)
      b.pair.submit()
      a.pair.prepareSend({ elements: of(a.memory) }).post(count)
      expect(a.pair.submit()).toBe(1)
      expect(outcome(await completions(a.sendCq, 1))).toEqual([[count, 'SUCCESS']])
      expect(outcome(await completions(b.receiveCq, 1))).toEqual([[count, 'SUCCESS']])
      for (const { offset, length } of elements) {
        const [sent, came] = [a, b].map(({ memory }) => memory.bytes.slice(offset, offset + length))
        expect(came).toEqual(sent)
      }
      expect(b.memory.bytes.filter((byte) => byte !== 0).length).toBeLessThanOrEqual(
        elements.reduce((sum, { length }) => sum + length, 0),
      )
    }
  })

  test('a region that is closed between post and submit is refused; the request behind it waits', () => {
    using both = connected(['mlx5', 'mlx5'])
    const { a } = both
    const gone = a.domain.registerMemory(4096)
    a.pair.prepareSend({ memory: gone }).post(1)
    expect(a.pair.submit()).toBe(1) // it is in the table of regions now
    a.pair.prepareSend({ memory: gone }).post(2)
    a.pair.prepareSend({ memory: a.memory }).post(3, 0, 10)
    gone.close()
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error?.message).toBe(
      'EINVAL: ibv_post_send: element 0 names a memory region that is closed',
    )
    expect(a.pair.error?.cookie).toBe(2)
    expect([a.pair.submit(), a.pair.error]).toEqual([1, null])
  })

  test('nothing is posted before the state allows it, and it stays for another try', () => {
    const a = side('mlx5')
    a.pair.prepareReceive({ memory: a.memory }).post(1)
    a.pair.prepareSend({ memory: a.memory }).post(2, 0, 8)
    expect(a.pair.submit()).toBe(0)
    expect(a.pair.error?.message).toContain('the queue pair is in RESET and must be in INIT or later')
    a.pair.initialize()
    expect(a.pair.submit()).toBe(1)
    expect(a.pair.error?.message).toContain('the queue pair is in INIT and must be in RTS')
    a.pair.connect(a.pair.endpoint)
    expect([a.pair.submit(), a.pair.error]).toEqual([1, null])
    a.context.close()
  })
})

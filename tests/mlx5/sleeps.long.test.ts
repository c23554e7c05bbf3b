/** A hundred thousand sleeps of the driver under traffic: no event is lost. */
import { PacketQueue } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { expect, test } from 'vitest'

const sleeps = 100_000

test('two queues that wait for each other, and a third that sends to both', {
  timeout: 600_000,
}, async () => {
  using soft = softConnectX({ wire: 'pair', strict: true })
  const [a, b, other] = ['mlx5_soft0', 'mlx5_soft1', 'mlx5_soft0'].map((name, i) =>
    PacketQueue.open(name, { backend: 'mlx5', transmitOnly: i === 2, frameCount: 64, batch: 8 }),
  )
  const send = (queue: PacketQueue, to: Uint8Array, mark: number): void => {
    const slot = queue.claim()
    if (slot < 0) throw new Error('no frame to claim')
    queue.memory.set([...to, ...queue.interface.macBytes, 0x88, 0xb5, mark], queue.offset(slot))
    queue.send(slot, 60)
    if (queue.submit() !== 1) throw queue.error ?? new Error('not accepted')
  }
  /** Sleeps until a frame of the other end has come; returns how often. */
  const next = async (queue: PacketQueue): Promise<number> => {
    for (let slept = 1; ; slept++) {
      await queue.wait({ signal: AbortSignal.timeout(60_000) })
      const n = queue.receive()
      let found = false
      for (let i = 0; i < n; i++) found ||= queue.memory[queue.columns.offsets[i] + 14] === 1
      queue.releaseMany(queue.columns.slots, n)
      if (found) return slept
    }
  }
  let total = 0
  for (let turn = 0; total < sleeps; turn++) {
    const [from, to] = turn % 2 === 0 ? [a, b] : [b, a]
    const slept = next(to)
    // Sometimes before the arming, sometimes behind it, sometimes with another frame beside it.
    if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    if (turn % 5 === 0 && to === b) send(other, b.interface.macBytes, 0)
    send(from, to.interface.macBytes, 1)
    total += await slept
  }
  expect(total).toBeGreaterThanOrEqual(sleeps)
  expect(soft.violations()).toEqual([])
  for (const queue of [a, b, other]) queue.close()
})

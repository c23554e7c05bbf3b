import { PacketQueue } from 'ibverbs/ethernet'
import { softConnectX } from 'ibverbs/soft'
import { expect } from 'vitest'
import { Random } from '../beds/random.js'
import { forge, goOn } from '../ethernet/forged-rings.js'

/**
 * Overwrites the rings of queues of the driver's: errors that can be caught, no frame handed out twice, and another queue
 * goes on.
 *
 * @param given.striding frames of a buffer; without it each frame has its own
 */
export async function overwritten(given: { seed: number; rounds: number; striding?: number }): Promise<void> {
  const { seed, rounds, striding = false } = given
  const random = new Random(seed)
  using soft = softConnectX({ wire: 'loop' })
  using bystander = PacketQueue.open('mlx5_soft0', {
    ...{ backend: 'mlx5', flows: [{ etherType: 0x88b6 }], striding: striding !== false },
  })
  const errors = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    using queue = PacketQueue.open('mlx5_soft0', { backend: 'mlx5', frameCount: 64, batch: 16, striding })
    const held = queue.claim()
    for (let step = 0; step < 50; step++) {
      goOn(queue, random, errors)
      forge(queue, random, 6)
    }
    expect(queue.length(held)).toBe(0)
  }
  for (const code of errors) expect(code).toMatch(/^E[A-Z]+$|^ERR_IBVERBS_/)
  const own = bystander.interface.macBytes
  const slot = bystander.claim()
  bystander.memory.set([...own, ...own, 0x88, 0xb6], bystander.offset(slot))
  bystander.send(slot, 60)
  expect(bystander.submit()).toBe(1)
  expect(await bystander.wait({ signal: AbortSignal.timeout(60_000) })).toBe(1)
  expect(soft.closed).toBe(false)
}

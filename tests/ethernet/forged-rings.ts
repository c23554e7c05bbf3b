/** What JavaScript may write into a queue's rings, and a queue that goes on beside it. */
import type { PacketQueue } from 'ibverbs/ethernet'
import { expect } from 'vitest'
import type { Random } from '../beds/random.js'

/** A number that resembles an index, an offset, a length, or nothing at all. */
export function plausible(random: Random): number {
  return random.pick([
    random.below(8),
    random.below(70),
    random.below(70) * 2048,
    random.below(4200) * 2048,
    random.below(3000),
    2 ** 32 - 1 - random.below(8),
    random.u32(),
  ])
}

/** Overwrites up to `most` words of a queue's rings: one in eight of them an index, the others of any record. */
export function forge({ rings, ringLayouts }: PacketQueue, random: Random, most: number): void {
  for (let words = random.below(most + 1); words > 0; words--) {
    const name = random.pick(['fill', 'receive', 'transmit', 'completion'] as const)
    const { producer, consumer, records } = ringLayouts[name]
    const ring = rings[name]
    const at = random.chance(1 / 8)
      ? random.pick([producer, consumer])
      : random.integer(records, ring.length - 1)
    ring[at] = plausible(random)
  }
}

/** Sends a frame and takes what has come, which it releases or sends on; collects the codes of all errors. */
export function goOn(queue: PacketQueue, random: Random, errors: Set<string>): void {
  try {
    const slot = queue.claim()
    if (slot >= 0) queue.send(slot, 14 + random.below(1500))
    queue.submit()
    if (queue.error) errors.add(queue.error.code)
    const n = queue.receive()
    for (let i = 0; i < n; i++) {
      const received = queue.slot(i)
      const length = queue.length(received)
      expect(length).toBeLessThanOrEqual(queue.frames.frameSize)
      if (random.chance(1 / 2) || length < 14) queue.release(received)
      else queue.forward(received)
    }
  } catch (error) {
    errors.add((error as { code?: string }).code ?? String(error))
  }
}

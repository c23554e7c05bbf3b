import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair, DeviceClock, direct, layout } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'
import { expect, test } from 'vitest'
import { toNanoseconds } from '../../lib/mlx5/clock.js'
import { Stamps } from '../../lib/mlx5/stamps.js'
import { Random } from '../beds/random.js'
import { entryAt, look, writeInline } from './by-hand.js'
import { runC } from './header.js'

test("a completion's timestamp is the system's time of that moment", async () => {
  const soft = softConnectX()
  const context = open(soft.devices()[0].name)
  try {
    const clock = DeviceClock.of(context)
    const domain = context.allocateProtectionDomain()
    const cq = createCompletionQueue(domain, 256)
    const pair = createQueuePair(domain, { type: 'UC', cq, maxInline: 28 })
    pair.connect(pair.endpoint)
    const [rings, queue] = [direct(pair), direct(cq)]
    const stamps: bigint[] = []
    const before = BigInt(Date.now()) * 1_000_000n
    for (let i = 0; i < 2; i++) {
      rings.ringSend(i + 1, i, writeInline(rings, i, new Uint8Array(8)))
      while (!look(queue, i)) await new Promise((resolve) => setImmediate(resolve))
      stamps.push(queue.view.getBigUint64(entryAt(queue, i) + layout.requesterCqe.fields.timestamp.offset))
    }
    clock.refresh()
    const [first, second] = stamps.map((stamp) => clock.nanoseconds(stamp))
    expect(second).toBeGreaterThanOrEqual(first)
    // The clocks of device and system are compared now and then only.
    const minute = 60_000_000_000n
    expect(first).toBeGreaterThan(before - minute)
    expect(second).toBeLessThan(BigInt(Date.now()) * 1_000_000n + minute)
    // @ts-expect-error
    expect(() => clock.nanoseconds(1)).toThrow('"cycles" must be a bigint')
    context.close()
    expect(() => clock.refresh()).toThrow(expect.objectContaining({ code: 'ERR_IBVERBS_CLOSED' }))
  } finally {
    context.close()
    soft.close()
  }
})

test('the conversion is that of mlx5dv_ts_to_ns', () => {
  const random = new Random(3)
  const wide = (bits: number) =>
    ((BigInt(random.u32()) << 32n) | BigInt(random.u32())) & ((1n << BigInt(bits)) - 1n)
  const cases = Array.from({ length: 200 }, () => {
    const mask = (1n << BigInt(random.integer(30, 48))) - 1n
    const lastCycles = wide(48) & mask
    // Products of more than 64 bits are cut off in C, so the distance stays small, before or after.
    const distance = wide(30) * (random.below(2) ? 1n : -1n)
    return {
      info: {
        nanoseconds: 1_700_000_000_000_000_000n + wide(40),
        lastCycles,
        fraction: wide(20),
        multiplier: wide(24) + 1n,
        shift: BigInt(random.integer(10, 24)),
        mask,
      },
      cycles: (lastCycles + distance) & mask,
    }
  })
  const lines = cases.map(
    ({ info: { nanoseconds, lastCycles, fraction, multiplier, shift, mask }, cycles }) =>
      `show((struct mlx5dv_clock_info){.nsec = ${nanoseconds}u, .last_cycles = ${lastCycles}u, .frac = ${fraction}u, .mult = ${multiplier}u, .shift = ${shift}u, .mask = ${mask}u}, ${cycles}u);`,
  )
  const printed = runC({
    text: `#include <infiniband/mlx5dv.h>
#include <inttypes.h>
#include <stdio.h>
static void show(struct mlx5dv_clock_info info, uint64_t cycles) {
  printf("%" PRIu64 "\\n", mlx5dv_ts_to_ns(&info, cycles));
}
int main(void) {
${lines.join('\n')}
return 0;
}
`,
  })
  expect(cases.map(({ info, cycles }) => String(toNanoseconds(info, cycles)))).toEqual(
    printed.trim().split('\n'),
  )
})

test.each([41, 48, 63, 64])(
  'without a bigint for each: to a nanosecond the same, of a counter of %i bits',
  (bits) => {
    const random = new Random(bits)
    const mask = (1n << BigInt(bits)) - 1n
    const word = () => (BigInt(random.u32()) << 32n) | BigInt(random.u32())
    const words = new Uint32Array(2)
    for (let i = 0; i < 2000; i++) {
      const shift = BigInt(random.integer(10, 32))
      const relation = {
        nanoseconds: 1_700_000_000_000_000_000n + (word() >> 8n),
        lastCycles: random.chance(1 / 4) ? mask - BigInt(random.below(1000)) : word() & mask,
        fraction: word() & ((1n << shift) - 1n),
        // From a quarter of a nanosecond to 16 to a cycle.
        multiplier: (1n << (shift - 2n)) + (word() % (1n << (shift + 4n))),
        ...{ shift, mask },
      }
      let looks = 0
      const stamps = new Stamps({ relation, refresh: () => looks++ } as never)
      for (let near = 0; near < 5; near++) {
        const cycles = (relation.lastCycles + BigInt(random.integer(-1e6, 1e7))) & mask
        stamps.write(Number(cycles >> 32n), Number(cycles & 0xffff_ffffn), words, 0)
        const got = BigInt(words[0]) * 1_000_000_000n + BigInt(words[1])
        const difference = Number(got - toNanoseconds(relation, cycles))
        expect(Math.abs(difference)).toBeLessThanOrEqual(1)
      }
      // The first, and none within a second of it.
      expect(looks).toBe(1)
    }
  },
)

import { open } from 'ibverbs'
import { createCompletionQueue, createQueuePair, DeviceClock, direct, layout } from 'ibverbs/mlx5'
import { softConnectX } from 'ibverbs/soft'
import { expect, test } from 'vitest'
import { toNanoseconds } from '../../lib/mlx5/clock.js'
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

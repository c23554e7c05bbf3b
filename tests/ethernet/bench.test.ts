/** The benchmarks of raw Ethernet run. Their figures are not checked, but every frame that they send must arrive. */
import { fileURLToPath } from 'node:url'
import { listInterfaces } from 'ibverbs/ethernet'
import { expect, it } from 'vitest'
import { command } from './program.js'

const script = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url))
/** A benchmark's interfaces that exist here, outside its own namespace. */
const left = () => listInterfaces().filter(({ name }) => name.startsWith('bench'))

// Two busy ends, each on its own processor, are slow beside other tests.
const busy = [
  ['ethernet/throughput', 'AF_PACKET forward 64 B, batches of 64'],
  ['ethernet/round-trip', 'AF_PACKET round trip 64 B, busy, p50'],
]

it.each([
  ['ethernet/throughput', 'AF_PACKET tx 64 B, batches of 64'],
  ['ethernet/ring-cost', 'TX: claim, send, submit, batches of 32'],
  ['mlx5/direct', 'without a NIC, RX: receive, release, refill, batches of 32'],
  ...(process.env.IBVERBS_LONG === '1' ? busy : []),
])(
  '%s, %s',
  async (bench, only) => {
    const { code, output } = await command(process.execPath, script, bench, '--json', '--case', only)
    const rows = output.split('\n').filter((line) => line.startsWith('{'))
    expect(code, output).toBe(0)
    const row = rows.map((line) => JSON.parse(line)).find((each) => each.case === only)
    expect(row).toMatchObject({ rounds: 20, ours: expect.any(Number), theirs: expect.any(Number) })
    expect(left()).toEqual([])
  },
  300_000,
)

/**
 * Frames/s through a raw packet queue pair of the software ConnectX, sent and received, against the same loop in C.
 * IBVERBS_SOFT_BEFORE=PATH names a libibverbs_soft.so of another build: the loops in C run against themselves on it.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { softLibraryPath } from 'ibverbs/soft'
import type { Bench } from '../harness/bench.js'
import { LineChild } from '../harness/child.js'
import type { Metric, Side } from '../harness/compare.js'
import { processors } from '../harness/ethernet/sides.js'

const worker = fileURLToPath(new URL('../harness/soft/raw-worker.js', import.meta.url))
/** The most frames in flight: the device has receives for four times as many, so that none is lost. */
const window = 512

/** A process whose software device receives what it sends; its main thread on the first processor, its NIC on the other. */
async function side(command: readonly string[], count: number): Promise<Side> {
  const [cpu] = processors()
  const child = new LineChild('env', ['IBVERBS_SOFT=loop', ...command])
  try {
    await child.ready()
    execFileSync('taskset', ['-cp', String(cpu), String(child.pid)], { stdio: 'ignore' })
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
  return { run: () => child.request(`loop ${count} ${count}`), close: () => child.close() }
}

const bench: Bench = {
  bed: 'host',
  peers: ['soft_raw'],
  async run(session) {
    for (const size of [64, 1500]) {
      for (const batch of [1, 32, 64]) {
        // A round of a few milliseconds: with two processors, two spinning threads are not left alone for longer.
        const count = batch === 1 ? 8000 : 32_000
        const parameters = { size, batch, window }
        const words = Object.entries(parameters).map(([name, value]) => `${name}=${value}`)
        const preload = `LD_PRELOAD=${softLibraryPath()}`
        const c = (library: string, ...more: string[]) =>
          side([library, session.peer('soft_raw'), ...words, ...more], count)
        const metrics = (what: string): [Metric] => [
          { case: `${size} B, batches of ${batch}${what}`, unit: 'frames/s' },
        ]
        await session.compare({
          peer: 'c',
          metrics: metrics(''),
          roundsPerOpening: 5,
          ours: () => side([process.execPath, worker, JSON.stringify(parameters)], count),
          theirs: () => c(preload),
        })
        await session.compare({
          peer: 'c',
          metrics: metrics(', C over direct rings'),
          roundsPerOpening: 5,
          ours: () => c(preload, 'direct=1'),
          theirs: () => c(preload),
        })
        const { IBVERBS_SOFT_BEFORE: before } = process.env
        if (before === undefined) continue
        for (const [what, ...more] of [['C'], ['C over direct rings', 'direct=1']]) {
          await session.compare({
            peer: 'before',
            metrics: metrics(`, ${what}`),
            roundsPerOpening: 5,
            ours: () => c(preload, ...more),
            theirs: () => c(`LD_PRELOAD=${before}`, ...more),
          })
        }
      }
    }
  },
}

export default bench

/** Frames/s through a raw packet queue pair of the software ConnectX, sent and received, against the same loop in C */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { softLibraryPath } from 'ibverbs/soft'
import type { Bench } from '../harness/bench.js'
import { LineChild } from '../harness/child.js'
import type { Side } from '../harness/compare.js'
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
        await session.compare({
          peer: 'c',
          metrics: [{ case: `${size} B, batches of ${batch}`, unit: 'frames/s' }],
          roundsPerOpening: 5,
          ours: () => side([process.execPath, worker, JSON.stringify(parameters)], count),
          theirs: () => side([preload, session.peer('soft_raw'), ...words], count),
        })
      }
    }
  },
}

export default bench

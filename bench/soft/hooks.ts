/** What a call that has nothing to do with RDMA costs a program that has the software ConnectX preloaded: 100 ns at most */
import { softLibraryPath } from 'ibverbs/soft'
import type { Bench } from '../harness/bench.js'
import { LineChild } from '../harness/child.js'
import type { Side } from '../harness/compare.js'

const calls = 20_000

async function side(peer: string, environment: readonly string[]): Promise<Side> {
  const child = new LineChild('env', [...environment, peer])
  try {
    await child.ready()
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
  return { run: () => child.request(`calls ${calls} ${calls / 10}`), close: () => child.close() }
}

const bench: Bench = {
  bed: 'host',
  peers: ['soft_hooks'],
  async run(session) {
    const peer = session.peer('soft_hooks')
    await session.compare({
      peer: 'not preloaded',
      metrics: [
        { case: 'open and close', unit: 'ns' },
        { case: 'stat', unit: 'ns' },
        { case: 'opendir, readdir, closedir', unit: 'ns' },
      ],
      ours: () => side(peer, ['IBVERBS_SOFT=loop', `LD_PRELOAD=${softLibraryPath()}`]),
      theirs: () => side(peer, []),
    })
  },
}

export default bench

/** An RDMA write on the software ConnectX among 8000 idle queue pairs of one context, against one among 8 */
import { softLibraryPath } from 'ibverbs/soft'
import type { Bench } from '../harness/bench.js'
import { LineChild } from '../harness/child.js'
import type { Side } from '../harness/compare.js'

const writes = 2000

/** A process whose main thread posts one write at a time, while the NIC's thread serves it. */
async function side(peer: string, pairs: number): Promise<Side> {
  const environment = ['IBVERBS_SOFT=loop', `LD_PRELOAD=${softLibraryPath()}`]
  const child = new LineChild('env', [...environment, peer, `pairs=${pairs}`])
  try {
    await child.ready()
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
  return { run: () => child.request(`write ${writes} ${writes / 10}`), close: () => child.close() }
}

const bench: Bench = {
  bed: 'host',
  peers: ['soft_idle'],
  async run(session) {
    const peer = session.peer('soft_idle')
    await session.compare({
      peer: '8 pairs',
      metrics: [
        { case: 'one of 8000 writes', unit: 'ns/write' },
        { case: '8000 write by turns', unit: 'ns/write' },
      ],
      // Creating thousands of queue pairs takes longer than using them.
      roundsPerOpening: 20,
      ours: () => side(peer, 8000),
      theirs: () => side(peer, 8),
    })
  },
}

export default bench

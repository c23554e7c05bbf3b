/** `ibverbs ping` between two processes, RC, polling, against the same in C */
import type { Bench } from '../harness/bench.js'
import type { PairParameters } from '../harness/verbs/parameters.js'
import { cPing, ourPing, pingSide } from '../harness/verbs/ping.js'
import { probePort } from '../harness/verbs/port.js'

const count = 11_000
const warmup = 1000

const bench: Bench = {
  bed: 'rdma',
  peers: ['ping'],
  async run(session) {
    const { devices } = session
    const [a, b] = devices.map(probePort)
    const pair: PairParameters = {
      ...{ devices, gidIndices: [a.gidIndex, b.gidIndex], type: 'RC', size: 64, inline: 64 },
      ...{ sendDepth: 1, receiveDepth: 500 },
    }
    const name = 'RC send 64 B inline, two processes, round trip'
    await session.compare({
      peer: 'c',
      // A round starts its processes anew.
      roundsPerOpening: 1,
      metrics: ['p50', 'p99', 'p99.9', 'mean'].map((figure) => ({ case: `${name} ${figure}`, unit: 'µs' })),
      ours: () => pingSide(ourPing, pair, count, warmup),
      theirs: () => pingSide(cPing(session.peer('ping')), pair, count, warmup),
    })
  },
}

export default bench

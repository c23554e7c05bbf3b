/** JavaScript's own cost of a frame, on rings in plain memory and without a kernel: TX, RX, an empty poll, against C */
import type { Bench } from '../harness/bench.js'
import { cRingSide, ringSide } from '../harness/ethernet/ring-sides.js'

const cases = [
  { command: 'tx', name: 'claim, send, submit', count: 512_000 },
  { command: 'rx', name: 'receive, release, refill', count: 512_000 },
  { command: 'look', name: 'receive, offset and length, release, refill', count: 512_000 },
]

const bench: Bench = {
  bed: 'host',
  peers: ['ring_cost'],
  async run(session) {
    for (const batch of [32, 1]) {
      for (const { command, name, count } of cases) {
        // The first hundred thousand frames of a queue run in code that V8 has not optimized yet.
        const request = `${command} ${batch === 1 ? count / 4 : count} 256000`
        await session.compare({
          ...{ peer: 'c', roundsPerOpening: 4 },
          metrics: [{ case: `${command === 'tx' ? 'TX' : 'RX'}: ${name}, batches of ${batch}`, unit: 'ns' }],
          ours: () => ringSide(batch, request),
          theirs: () => cRingSide(session, batch, request),
        })
      }
    }
    await session.compare({
      ...{ peer: 'c', roundsPerOpening: 4 },
      metrics: [{ case: 'an empty look', unit: 'ns' }],
      ours: () => ringSide(32, 'poll 500000 50000'),
      theirs: () => cRingSide(session, 32, 'poll 500000 50000'),
    })
  },
}

export default bench

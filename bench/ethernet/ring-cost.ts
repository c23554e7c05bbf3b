/** JavaScript's own cost of a frame, on rings in plain memory and without a kernel, against C; and over several queues */
import type { Bench } from '../harness/bench.js'
import { cRingSide, ringSide } from '../harness/ethernet/ring-sides.js'

const cases = [
  { command: 'tx', name: 'claim, send, submit', count: 512_000 },
  { command: 'rx', name: 'receive, release, refill', count: 512_000 },
  { command: 'look', name: 'receive, offset and length, release, refill', count: 512_000 },
]

/** A place in the program that serves several queues: code of a queue's own is not inlined there. */
const severalQueues = [
  ['tx-many', 'TX: claimMany, sendMany, submit'],
  ['rx-many', 'RX: receive, columns, releaseMany'],
  ['tx-each', 'TX: claim and send for each frame'],
  ['rx-each', 'RX: slot, offset, length and release for each frame'],
] as const

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
    for (const queues of [2, 4]) {
      for (const [command, name] of severalQueues) {
        const request = `${command} 512000 512000`
        await session.compare({
          ...{ peer: 'one queue', roundsPerOpening: 4 },
          metrics: [{ case: `${name}, one function over ${queues} queues, batches of 32`, unit: 'ns' }],
          ours: () => ringSide(32, request, queues),
          theirs: () => ringSide(32, request),
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

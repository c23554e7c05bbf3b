/** Ours against pyverbs, and C against pyverbs beside it: an empty poll, and RC ping-pong round trips */
import type { Bench } from '../harness/bench.js'
import type { Side } from '../harness/compare.js'
import { type PairParameters, peerArguments } from '../harness/verbs/parameters.js'
import { peerSide } from '../harness/verbs/peer.js'
import { emptyPollSide, pingPongSide } from '../harness/verbs/pingpong.js'
import { probePort } from '../harness/verbs/port.js'

const polls = 10_000
const iterations = 200
const warmup = 20

const bench: Bench = {
  bed: 'rdma',
  peers: ['pingpong'],
  async run(session) {
    const { devices } = session
    const parameters: PairParameters = {
      ...{ devices, gidIndices: [probePort(devices[0]).gidIndex, probePort(devices[1]).gidIndex] },
      ...{ type: 'RC', size: 64, inline: 64, sendDepth: 16, receiveDepth: 16 },
    }
    const c: readonly [string, ...string[]] = [session.peer('pingpong'), ...peerArguments(parameters)]
    // Debian's own interpreter: pyverbs belongs to it.
    const python: readonly [string, ...string[]] = [
      '/usr/bin/python3',
      session.peerSource('pyverbs_pingpong.py'),
      ...peerArguments(parameters),
    ]
    const poll = `poll ${polls} 100`
    const latency = `latency ${iterations} ${warmup}`
    const compare = (
      suffix: string,
      empty: () => Side | Promise<Side>,
      trips: () => Side | Promise<Side>,
    ) => [
      {
        metrics: [{ case: `empty poll${suffix}`, unit: 'ns' }],
        ours: empty,
        theirs: () => peerSide(python, poll),
      },
      {
        metrics: ['p50', 'p99', 'mean'].map((figure) => ({
          case: `RC send 64 B inline, round trip ${figure}${suffix}`,
          unit: 'µs',
        })),
        ours: trips,
        theirs: () => peerSide(python, latency, 1e-3),
      },
    ]
    const comparisons = [
      ...compare(
        '',
        () => emptyPollSide(parameters, polls, 100),
        () => pingPongSide(parameters, iterations, warmup),
      ),
      ...compare(
        ' (C in the place of ours)',
        () => peerSide(c, poll),
        () => peerSide(c, latency, 1e-3),
      ),
    ]
    for (const each of comparisons) await session.compare({ peer: 'pyverbs', ...each })
  },
}

export default bench

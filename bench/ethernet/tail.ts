/** Service time of a batch at a steady 100,000 forwarded frames/s, up to p99.9: AF_PACKET and AF_XDP, against C */
import type { Bench } from '../harness/bench.js'
import { peerOf, title, usableBackends } from '../harness/ethernet/backends.js'
import { cPeer, type FrameParameters, frameSide, ours } from '../harness/ethernet/sides.js'

const rate = 100_000

const bench: Bench = {
  bed: 'veth',
  peers: Object.values(peerOf),
  async run(session) {
    for (const backend of usableBackends(session)) {
      const parameters: FrameParameters = { backend, size: 64, batch: 32, ring: 'v2' }
      const request = { operation: 'service', count: 40_000, warmup: 4000, rate } as const
      await session.compare({
        peer: 'c',
        roundsPerOpening: 4,
        metrics: ['p50', 'p99', 'p99.9'].map((figure) => ({
          ...{ case: `${title[backend]} forward 64 B at 100,000/s, service time ${figure}`, unit: 'µs' },
        })),
        ours: () => frameSide(session, ours, parameters, request),
        theirs: () => frameSide(session, cPeer(session), parameters, request),
      })
    }
  },
}

export default bench

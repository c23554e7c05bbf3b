/** Round trip of a raw frame, both ends busy-polling: AF_PACKET and AF_XDP, against C, plain and with equal duties, and node:dgram */
import type { Bench } from '../harness/bench.js'
import { peerOf, title, usableBackends } from '../harness/ethernet/backends.js'
import { cPeer, dgramSide, type FrameParameters, ours, roundTripSide } from '../harness/ethernet/sides.js'

const trips = 2000
const warmup = 200
const datagrams = 400

const bench: Bench = {
  bed: 'veth',
  peers: Object.values(peerOf),
  async run(session) {
    for (const backend of usableBackends(session)) {
      // A V2 ring: a poll is one load, and a frame does not wait until its block is full.
      const parameters: FrameParameters = { backend, size: 64, batch: 1, ring: 'v2' }
      const metrics = ['p50', 'p99'].map((figure) => ({
        ...{ case: `${title[backend]} round trip 64 B, busy, ${figure}`, unit: 'µs' },
      }))
      const our = () => roundTripSide(ours, parameters, trips, warmup)
      await session.compare({
        ...{ peer: 'c', metrics, ours: our, roundsPerOpening: 4 },
        theirs: () => roundTripSide(cPeer(session), parameters, trips, warmup),
      })
      if (backend === 'af_packet') {
        await session.compare({
          ...{ peer: 'c, equal duties', metrics, ours: our, roundsPerOpening: 4 },
          theirs: () => roundTripSide(cPeer(session), { ...parameters, duties: 'all' }, trips, warmup),
        })
      }
      await session.compare({
        ...{ peer: 'dgram', metrics, ours: our, roundsPerOpening: 4 },
        theirs: () => dgramSide(datagrams, warmup),
      })
    }
  },
}

export default bench

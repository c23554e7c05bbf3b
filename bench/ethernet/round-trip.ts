/** Round trip of a raw frame, both ends busy-polling: AF_PACKET and AF_XDP, against C and node:dgram */
import type { Bench } from '../harness/bench.js'
import {
  type Backend,
  cPeer,
  dgramSide,
  type FrameParameters,
  ours,
  roundTripSide,
} from '../harness/ethernet/sides.js'

const trips = 2000
const warmup = 200
const datagrams = 400
const title = { af_packet: 'AF_PACKET', af_xdp: 'AF_XDP' }

const bench: Bench = {
  bed: 'veth',
  peers: ['xdp_frames', 'packet_frames'],
  async run(session) {
    for (const backend of ['af_packet', 'af_xdp'] satisfies Backend[]) {
      if (backend === 'af_xdp' && process.getuid!() !== 0) {
        session.note('skipped: AF_XDP needs root')
        continue
      }
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
      await session.compare({
        ...{ peer: 'dgram', metrics, ours: our, roundsPerOpening: 4 },
        theirs: () => dgramSide(datagrams, warmup),
      })
    }
  },
}

export default bench

/** A poll that finds nothing: by a system call, recvmmsg(2), by the packet ring and by AF_XDP's, against C */
import type { Bench } from '../harness/bench.js'
import { peerOf, title, usableBackends } from '../harness/ethernet/backends.js'
import { cPeer, type FrameParameters, idleSide, ours } from '../harness/ethernet/sides.js'

const looks = 20_000
const warmup = 100_000

const bench: Bench = {
  bed: 'veth',
  peers: Object.values(peerOf),
  async run(session) {
    const ways: [string, FrameParameters][] = usableBackends(session).map((backend) => [
      title[backend],
      { backend, size: 64, batch: 1, ring: 'v2' },
    ])
    const byCall: FrameParameters = { backend: 'af_packet', size: 64, batch: 1, ring: 'none' }
    ways.push(['AF_PACKET by recvmmsg', { ...byCall, queue: { receivePath: 'recvmmsg' } }])
    for (const [name, parameters] of ways) {
      await session.compare({
        ...{
          peer: 'c',
          roundsPerOpening: 4,
          metrics: [{ case: `${name}, a poll of an idle interface`, unit: 'ns' }],
        },
        ours: () => idleSide(ours, parameters, looks, warmup),
        theirs: () => idleSide(cPeer(session), parameters, looks, warmup),
      })
    }
  },
}

export default bench

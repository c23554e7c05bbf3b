/** RC and UD ping-pong round trips by size against C, and RC one-way times beside ib_send_lat */
import type { Bench } from '../harness/bench.js'
import { type PairParameters, peerArguments } from '../harness/verbs/parameters.js'
import { peerSide } from '../harness/verbs/peer.js'
import { sendLatSide } from '../harness/verbs/perftest.js'
import { pingPongSide } from '../harness/verbs/pingpong.js'
import { probePort } from '../harness/verbs/port.js'
import { twoProcessSide } from '../harness/verbs/two-processes.js'

const iterations = 500
const warmup = 50
/** Messages up to this size go inline, on both sides. */
const inlineLimit = 64

const bench: Bench = {
  bed: 'rdma',
  peers: ['pingpong'],
  async run(session) {
    const { devices } = session
    const ports = devices.map(probePort)
    const mtu = Math.min(...ports.map((port) => port.mtu))
    const parameters = (type: 'RC' | 'UD', size: number, inline: number): PairParameters => ({
      ...{ devices, gidIndices: [ports[0].gidIndex, ports[1].gidIndex], type, size, inline },
      ...{ sendDepth: 16, receiveDepth: 16 },
    })

    for (const type of ['RC', 'UD'] as const) {
      for (const size of [2, 64, 1024, 4096]) {
        if (type === 'UD' && size > mtu) {
          session.note(`UD ${size} B is left out: a datagram is at most one MTU, ${mtu} here`)
          continue
        }
        const inline = size <= inlineLimit ? inlineLimit : 0
        const pair = parameters(type, size, inline)
        const name = `${type} send ${size} B${inline ? ' inline' : ''}, round trip`
        await session.compare({
          peer: 'c',
          metrics: ['p50', 'p99', 'mean'].map((figure) => ({ case: `${name} ${figure}`, unit: 'µs' })),
          ours: () => pingPongSide(pair, iterations, warmup),
          theirs: () =>
            peerSide(
              [session.peer('pingpong'), ...peerArguments(pair)],
              `latency ${iterations} ${warmup}`,
              1e-3,
            ),
        })
      }
    }

    const beside = parameters('RC', 2, 0)
    const name = 'RC send 2 B, one way (half a round trip), each end its own process'
    await session.compare({
      peer: 'ib_send_lat',
      metrics: ['p50', 'p99'].map((figure) => ({ case: `${name}, ${figure}`, unit: 'µs' })),
      ours: () => twoProcessSide(beside, iterations, warmup),
      theirs: () => sendLatSide(beside, iterations),
    })
  },
}

export default bench

/** The driver in TypeScript: frames/s on the software ConnectX, an emulated device, and its own cost without a NIC */
import type { Bench } from '../harness/bench.js'
import type { Metric } from '../harness/compare.js'
import { cardSide, ringSide } from '../harness/ethernet/ring-sides.js'
import { cRawSide, ourRawSide } from '../harness/soft/raw-sides.js'

/** The most frames in flight: the device has receives for four times as many, so that none is lost. */
const window = 512
const size = 64

const bench: Bench = {
  bed: 'host',
  peers: ['soft_raw'],
  async run(session) {
    for (const batch of [1, 32, 64]) {
      const parameters = { size, batch, window }
      const metrics: [Metric] = [{ case: `${size} B, batches of ${batch}`, unit: 'frames/s' }]
      const ours = () => ourRawSide(parameters, 'mlx5')
      const peers = {
        'c over direct rings': () => cRawSide(session, parameters, { direct: true }),
        'c over ibv_post_send': () => cRawSide(session, parameters),
        'PacketQueue over ibv_post_send': () => ourRawSide(parameters, 'raw_packet_qp'),
      }
      for (const [peer, theirs] of Object.entries(peers)) {
        await session.compare({ peer, metrics, roundsPerOpening: 5, ours, theirs })
      }
    }
    for (const batch of [32, 1]) {
      for (const [command, name] of [
        ['tx', 'TX: claim, send, submit'],
        ['rx', 'RX: receive, release, refill'],
      ] as const) {
        const request = `${command} ${batch === 1 ? 128_000 : 512_000} 256000`
        const metrics: [Metric] = [{ case: `without a NIC, ${name}, batches of ${batch}`, unit: 'ns' }]
        const ours = () => cardSide(batch, request, 'multi-packet')
        const theirs = () => ringSide(batch, request)
        await session.compare({ peer: "AF_XDP's rings", metrics, roundsPerOpening: 4, ours, theirs })
        if (command !== 'tx' || batch === 1) continue
        const single = () => cardSide(batch, request, 'single')
        await session.compare({
          ...{ peer: 'single requests', metrics, roundsPerOpening: 4, ours, theirs: single },
        })
      }
    }
  },
}

export default bench

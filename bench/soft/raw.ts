/**
 * Frames/s through a raw packet queue pair of the software ConnectX, sent and received, against the same loop in C.
 * IBVERBS_SOFT_BEFORE=PATH names a libibverbs_soft.so of another build: the loops in C run against themselves on it.
 */
import type { Bench } from '../harness/bench.js'
import type { Metric } from '../harness/compare.js'
import { cRawSide, ourRawSide } from '../harness/soft/raw-sides.js'

/** The most frames in flight: the device has receives for four times as many, so that none is lost. */
const window = 512

const bench: Bench = {
  bed: 'host',
  peers: ['soft_raw'],
  async run(session) {
    for (const size of [64, 1500]) {
      for (const batch of [1, 32, 64]) {
        const parameters = { size, batch, window }
        const metrics = (what: string): [Metric] => [
          { case: `${size} B, batches of ${batch}${what}`, unit: 'frames/s' },
        ]
        await session.compare({
          peer: 'c',
          metrics: metrics(''),
          roundsPerOpening: 5,
          ours: () => ourRawSide(parameters, 'raw_packet_qp'),
          theirs: () => cRawSide(session, parameters),
        })
        await session.compare({
          peer: 'c',
          metrics: metrics(', C over direct rings'),
          roundsPerOpening: 5,
          ours: () => cRawSide(session, parameters, { direct: true }),
          theirs: () => cRawSide(session, parameters),
        })
        const { IBVERBS_SOFT_BEFORE: library } = process.env
        if (library === undefined) continue
        for (const direct of [false, true]) {
          await session.compare({
            peer: 'before',
            metrics: metrics(direct ? ', C over direct rings' : ', C'),
            roundsPerOpening: 5,
            ours: () => cRawSide(session, parameters, { direct }),
            theirs: () => cRawSide(session, parameters, { direct, library }),
          })
        }
      }
    }
  },
}

export default bench

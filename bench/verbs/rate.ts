/** RC messages per second in batches, sends and RDMA writes, and the cost of an empty poll, against C */
import type { Bench } from '../harness/bench.js'
import { type PairParameters, peerArguments, type RateParameters } from '../harness/verbs/parameters.js'
import { peerSide } from '../harness/verbs/peer.js'
import { emptyPollSide } from '../harness/verbs/pingpong.js'
import { probePort } from '../harness/verbs/port.js'
import { rateSide } from '../harness/verbs/rate.js'

const messages = 3200
const warmup = 320
const polls = 20_000

const bench: Bench = {
  bed: 'rdma',
  peers: ['pingpong', 'rate'],
  async run(session) {
    const { devices } = session
    const gidIndices: [number, number] = [probePort(devices[0]).gidIndex, probePort(devices[1]).gidIndex]
    const cases: { operation: 'send' | 'write'; size: number; inline: number; batch: number }[] = [
      { operation: 'send', size: 64, inline: 64, batch: 32 },
      { operation: 'send', size: 64, inline: 64, batch: 1 },
      { operation: 'send', size: 1024, inline: 0, batch: 32 },
      { operation: 'write', size: 64, inline: 64, batch: 32 },
      { operation: 'write', size: 1024, inline: 0, batch: 32 },
    ]
    for (const { operation, size, inline, batch } of cases) {
      const parameters: RateParameters = {
        ...{ devices, gidIndices, type: 'RC', size, inline, sendDepth: 128, receiveDepth: 256 },
        ...{ operation, batch, signal: batch },
      }
      const name = `RC ${operation} ${size} B${inline ? ' inline' : ''}, batches of ${batch}, 1 in ${batch} signalled`
      await session.compare({
        peer: 'c',
        metrics: [{ case: name, unit: 'messages/s' }],
        ours: () => rateSide(parameters, messages, warmup),
        theirs: () =>
          peerSide([session.peer('rate'), ...peerArguments(parameters)], `rate ${messages} ${warmup}`),
      })
    }
    const pair: PairParameters = {
      ...{ devices, gidIndices, type: 'RC', size: 64, inline: 64, sendDepth: 16, receiveDepth: 16 },
    }
    await session.compare({
      peer: 'c',
      metrics: [{ case: 'empty poll', unit: 'ns' }],
      ours: () => emptyPollSide(pair, polls, 100),
      theirs: () => peerSide([session.peer('pingpong'), ...peerArguments(pair)], `poll ${polls} 100`),
    })
  },
}

export default bench

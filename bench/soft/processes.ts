/** An RC ping-pong in C between two processes on a `socket:` wire, each polling, against one process on a loop wire */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { softLibraryPath } from 'ibverbs/soft'
import type { Bench } from '../harness/bench.js'
import { startChild } from '../harness/child.js'
import type { Side } from '../harness/compare.js'
import type { PairParameters } from '../harness/verbs/parameters.js'
import { cPing, type PingProgram, pingSide } from '../harness/verbs/ping.js'

const count = 1000
const warmup = 100
const device = 'mlx5_soft0'

/** The program, with a device of its own for each process. */
function onWire(program: PingProgram, path: string): PingProgram {
  return {
    ...program,
    command(...parameters) {
      const environment = [`IBVERBS_SOFT=socket:${path}`, `LD_PRELOAD=${softLibraryPath()}`]
      return ['env', ...environment, ...program.command(...parameters)]
    },
  }
}

/** Four threads poll: the two programs and their NICs. [p50, p99, mean] of a round trip, in µs. */
function twoProcesses(peer: string): Side {
  const folder = mkdtempSync(join(tmpdir(), 'ibverbs-processes-'))
  const pair: PairParameters = {
    ...{ devices: [device, device], gidIndices: [0, 0], type: 'RC', size: 64, inline: 64 },
    ...{ sendDepth: 1, receiveDepth: 500 },
  }
  const side = pingSide(onWire(cPing(peer), join(folder, 'wire')), pair, count, warmup)
  return {
    async run() {
      const [p50, p99, , mean] = await side.run()
      return [p50, p99, mean]
    },
    close: () => rmSync(folder, { recursive: true }),
  }
}

/** The same between two queue pairs of one process: two threads poll. */
async function oneProcess(peer: string): Promise<Side> {
  const environment = ['IBVERBS_SOFT=loop', `LD_PRELOAD=${softLibraryPath()}`]
  const words = [`a=${device}`, `b=${device}`, 'type=RC', 'size=64', 'inline=64']
  const child = await startChild('env', [...environment, peer, ...words])
  return {
    run: async () => (await child.request(`latency ${count} ${warmup}`)).map((ns) => ns / 1000),
    close: () => child.close(),
  }
}

const bench: Bench = {
  bed: 'host',
  peers: ['ping', 'pingpong'],
  async run(session) {
    const name = 'RC send 64 B inline, round trip'
    await session.compare({
      peer: 'one process',
      // A round starts its processes anew.
      roundsPerOpening: 1,
      metrics: ['p50', 'p99', 'mean'].map((figure) => ({ case: `${name} ${figure}`, unit: 'µs' })),
      ours: () => twoProcesses(session.peer('ping')),
      theirs: () => oneProcess(session.peer('pingpong')),
    })
  },
}

export default bench

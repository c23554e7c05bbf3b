import { fileURLToPath } from 'node:url'
import type { Side } from '../compare.js'
import { freePort } from '../free-port.js'
import { startProgram } from '../program.js'
import type { PairParameters } from './parameters.js'

const main = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url))

/** A ping-pong between two processes: how each is started, and what the client prints. */
export interface PingProgram {
  command(parameters: PairParameters, side: 0 | 1, port: number, count: number, warmup: number): string[]
  /** [p50, p99, p99.9, mean] of a round trip, in µs. */
  figures(output: string): number[]
}

/** `ibverbs ping`, as a user runs it. */
export const ourPing: PingProgram = {
  command({ devices, gidIndices, size }, side, port, count, warmup) {
    const words = ['-p', port, '-d', devices[side], '-g', gidIndices[side], '-s', size, '-n', count]
    const which = side === 0 ? ['127.0.0.1', '--json'] : ['--listen']
    return [process.execPath, main, 'ping', ...which, ...[...words, '--warmup', warmup].map(String)]
  },
  figures(output) {
    const { p50, p99, mean, 'p99.9': p999 } = JSON.parse(output).roundTrip
    return [p50, p99, p999, mean]
  },
}

/** bench/peers/ping.c. */
export function cPing(path: string): PingProgram {
  return {
    command({ devices, gidIndices, size, inline }, side, port, count, warmup) {
      return [
        ...[path, `a=${devices[side]}`, `gid=${gidIndices[side]}`, `port=${port}`, `size=${size}`],
        ...[`inline=${inline}`, `count=${count}`, `warmup=${warmup}`],
        ...(side === 0 ? ['host=127.0.0.1'] : []),
      ]
    },
    figures: (output) => (JSON.parse(output) as number[]).map((ns) => ns / 1000),
  }
}

/** A side that starts both processes for each round, as a user would. */
export function pingSide(
  program: PingProgram,
  parameters: PairParameters,
  count: number,
  warmup: number,
): Side {
  return {
    async run() {
      const port = await freePort()
      const server = startProgram(program.command(parameters, 1, port, count, warmup))
      try {
        await server.said(/waiting for a client/)
        const client = startProgram(program.command(parameters, 0, port, count, warmup))
        const output = await client.output
        await server.output
        return program.figures(output)
      } finally {
        server.process.kill()
      }
    },
    close() {},
  }
}

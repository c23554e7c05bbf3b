import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Side } from '../compare.js'
import { freePort } from '../free-port.js'
import type { PairParameters } from './parameters.js'

/** Milliseconds after which a run counts as stuck. */
const limit = 60_000

const main = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url))

/** A ping-pong between two processes: how each is started, and what the client prints. */
export interface PingProgram {
  command(parameters: PairParameters, side: 0 | 1, port: number, count: number, warmup: number): string[]
  /** [p50, p99, p99.9, mean] of a round trip, in µs. */
  figures(output: string): number[]
}

/** `ibverbs ping`, as a user runs it, with flags for Node. */
export function ourPing(nodeFlags: readonly string[] = []): PingProgram {
  return {
    command({ devices, gidIndices, size }, side, port, count, warmup) {
      const words = ['-p', port, '-d', devices[side], '-g', gidIndices[side], '-s', size, '-n', count]
      const which = side === 0 ? ['127.0.0.1', '--json'] : ['--listen']
      return [
        ...[process.execPath, ...nodeFlags, main, 'ping', ...which],
        ...[...words, '--warmup', warmup].map(String),
      ]
    },
    figures(output) {
      const { p50, p99, mean, ...rest } = JSON.parse(output).roundTrip
      return [p50, p99, rest['p99.9'], mean]
    },
  }
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
      const server = start(program.command(parameters, 1, port, count, warmup))
      try {
        await server.listening
        const client = start(program.command(parameters, 0, port, count, warmup))
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

interface Started {
  process: ChildProcess
  /** Its standard output, after a successful exit. */
  output: Promise<string>
  /** Resolves when it says on standard error that it waits for a client. */
  listening: Promise<void>
}

function start([command, ...args]: string[]): Started {
  const process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: limit })
  let [out, error] = ['', '']
  process.stdout.on('data', (chunk) => (out += chunk))
  const output = once(process, 'close').then(([code, signal]) => {
    if (code === 0) return out
    throw new Error(`${command} ended with ${signal ?? `exit code ${code}`}: ${error.trim().slice(-400)}`)
  })
  const listening = new Promise<void>((resolve, reject) => {
    process.stderr.on('data', (chunk) => {
      error += chunk
      if (/waiting for a client/.test(error)) resolve()
    })
    output.catch(reject)
  })
  listening.catch(() => {}) // reported where `output` is awaited
  return { process, output, listening }
}

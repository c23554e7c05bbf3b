import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Side } from '../compare.js'
import { freePort } from '../free-port.js'
import { type Program, startProgram } from '../program.js'
import type { PairParameters } from './parameters.js'

/** Milliseconds until the server must listen. */
const limit = 60_000

/** Attempts for each round: perftest may discard its own result. */
const attempts = 10

/**
 * ib_send_lat of perftest as a side: each round starts its two processes, as a user would. Returns [typical, 99 %] of the
 * one-way time in µs, which is half a round trip (perftest's own definition).
 */
export function sendLatSide(parameters: PairParameters, iterations: number): Side {
  const { devices, gidIndices, type, size, inline } = parameters
  const args = (side: 0 | 1, port: number) => [
    ...['-d', devices[side], '-x', String(gidIndices[side]), '-p', String(port), '-c', type],
    ...['-s', String(size), '-n', String(iterations), '-I', String(inline), '-F'],
  ]
  const once = async () => {
    const port = await freePort()
    const server = start(args(1, port))
    try {
      await listening(port, server)
      const client = start([...args(0, port), '127.0.0.1'])
      const output = await client.output
      await server.output
      return parseSendLat(output, size)
    } finally {
      server.process.kill()
    }
  }
  return {
    async run() {
      for (let attempt = 1; attempt < attempts; attempt++) {
        const result = await once()
        if (result) return result
      }
      throw new Error(`ib_send_lat could not calibrate its clock, ${attempts} times in a row`)
    },
    close() {},
  }
}

/**
 * [t_typical, 99 % percentile] from the output of ib_send_lat. Null when it could not calibrate its cycle counter, as
 * happens on a busy machine: it then prints "Correlation coefficient" and every time as inf.
 */
export function parseSendLat(output: string, size: number): number[] | null {
  if (new RegExp(`^\\s*${size}\\s+\\d+\\s+inf\\s`, 'm').test(output)) return null
  // #bytes #iterations t_min t_max t_typical t_avg t_stdev 99% 99.9%
  const line = output.split('\n').find((text) => new RegExp(`^\\s*${size}\\s+\\d+\\s+[\\d.]+\\s`).test(text))
  const numbers = line?.trim().split(/\s+/).map(Number) ?? []
  if (numbers.length < 9) throw new Error(`ib_send_lat printed no result line for ${size} bytes:\n${output}`)
  return [numbers[4], numbers[7]]
}

const start = (args: string[]) => startProgram(['ib_send_lat', ...args], 'install the package perftest')

/** Waits until the server listens. perftest announces that too early, and into a buffer; the kernel's table is exact. */
async function listening(port: number, server: Program): Promise<void> {
  // Local address and state 0A, TCP_LISTEN (proc(5)).
  const wanted = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} [0-9A-F:]+ 0A `)
  let ended: unknown
  server.output.then(
    () => (ended = new Error('ib_send_lat ended before its client came')),
    (error) => (ended = error),
  )
  for (let waited = 0; waited < limit; waited += 5) {
    if (ended !== undefined) throw ended
    if (['/proc/net/tcp', '/proc/net/tcp6'].some((table) => wanted.test(readFileSync(table, 'latin1'))))
      return
    await delay(5)
  }
  throw new Error(`ib_send_lat does not listen on port ${port}`)
}

/** `ibverbs selftest`: checks of a ConnectX by what it sends to itself, and a file of what they found. */
import type { Command } from '../command.js'
import { ExitCode } from '../exit-code.js'
import { toJson } from '../explain/json.js'
import { Output } from '../output.js'
import type { Session } from '../session.js'
import { integerOption, noMoreOperands, parse, UsageError } from '../usage.js'
import type { Bench as OpenBench } from './bench.js'

const options = {
  device: { type: 'string', short: 'd', argument: 'NAME', help: 'a ConnectX, real or software' },
  'ib-port': { type: 'string', short: 'i', argument: 'PORT', help: 'its port (1)' },
  output: {
    type: 'string',
    short: 'o',
    argument: 'FILE',
    help: 'where the result goes (ibverbs-selftest-NAME.json)',
  },
} as const

export const selftest: Command = {
  name: 'selftest',
  summary: 'checks a ConnectX by what it sends to itself, and writes a file of it',
  synopsis: ['--device NAME [-i PORT] [-o FILE]'],
  description: `
Runs a list of checks on one port: RC, UC and UD messages, writes, reads and atomics, requests and
completions by hand, the register, sleeping, timestamps, raw frames in batches, checksums.
All it sends is from the port to itself (frames of the experimental EtherType 0x88b5 and UDP
datagrams to port 9 among them), and it changes no setting; it needs an active port, and
CAP_NET_RAW for raw frames. The file tells the device, its firmware, the driver, the libraries, and
of each check its result with the bytes that differ. It holds no address of the machine.
No real ConnectX has run it yet: if you have one, please send the file.`,
  options,
  examples: [
    ['ibverbs selftest -d mlx5_0', 'on a card; writes ibverbs-selftest-mlx5_0.json'],
    ['ibverbs soft -- ibverbs selftest -d mlx5_soft0', 'on the software ConnectX'],
  ],
  run,
}

interface Result {
  name: string
  what: string
  result: 'passed' | 'failed' | 'skipped'
  milliseconds: number
  /** Of what did not pass: why. */
  message?: string
  /** The code of a call that failed. */
  code?: string
  difference?: unknown
  /** What else is worth knowing. */
  told?: unknown
}

async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  const { values, positionals } = parse(args, options)
  noMoreOperands(positionals, 0)
  const { device } = values
  if (!device) throw new UsageError('--device is missing')
  const port = integerOption('--ib-port', values['ib-port'], 1, 255) ?? 1
  const path = values.output ?? `ibverbs-selftest-${device}.json`
  const { Bench } = await import('./bench.js')
  const { assertSupported } = await import('../../mlx5/supported.js')
  const bench = new Bench(device, port, session.signal)
  try {
    assertSupported(bench.context)
    const { state } = bench.context.queryPort(port)
    if (state !== 'ACTIVE') {
      throw new Error(`port ${port} of ${device} is ${state}, not ACTIVE: see 'ibverbs doctor'`)
    }
    const { describeMachine } = await import('./machine.js')
    const results = await runChecks(bench, session)
    session.signal.throwIfAborted()
    const counts = { passed: 0, failed: 0, skipped: 0 }
    for (const { result } of results) counts[result]++
    const report = {
      ...{ version: 1, time: new Date().toISOString() },
      ...describeMachine(bench),
      ...counts,
      checks: results,
    }
    const output = await Output.open(path, session.signal)
    try {
      await output.write(new TextEncoder().encode(`${toJson(report, 2)}\n`))
    } finally {
      await output.close()
    }
    session.print(
      `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped: ${path} tells the rest`,
    )
    return counts.failed === 0 ? ExitCode.ok : ExitCode.failed
  } finally {
    bench.close()
  }
}

async function runChecks(bench: OpenBench, session: Session): Promise<Result[]> {
  const { checks } = await import('./checks.js')
  const { Skip } = await import('./bench.js')
  const { Mismatch } = await import('./mismatch.js')
  const { style } = session
  const marks = {
    passed: style.green('passed '),
    failed: style.red('failed '),
    skipped: style.yellow('skipped'),
  }
  const longest = Math.max(...checks.map(({ name }) => name.length))
  const results: Result[] = []
  for (const { name, what, run } of checks) {
    const begin = performance.now()
    let outcome: Omit<Result, 'name' | 'what' | 'milliseconds'>
    try {
      const told = await run(bench)
      outcome = { result: 'passed', ...(told !== undefined && { told }) }
    } catch (error) {
      if (session.interrupted) break
      const { message, code } = error as NodeJS.ErrnoException
      const difference = error instanceof Mismatch ? error.difference : undefined
      outcome = {
        result: error instanceof Skip ? 'skipped' : 'failed',
        ...{ message, code, difference },
      }
    } finally {
      bench.tidy()
    }
    results.push({ name, what, ...outcome, milliseconds: Math.round(performance.now() - begin) })
    const why = outcome.message === undefined ? '' : `: ${outcome.message}`
    session.print(`${marks[outcome.result]}  ${name.padEnd(longest)}  ${what}${why}`)
  }
  return results
}

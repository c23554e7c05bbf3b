/** Output of ping: percentiles and a histogram for people, one JSON object for programs. */
import { bins, histogram } from '../../lab/histogram.js'
import { type Summary, summarize } from '../../lab/percentiles.js'
import { table } from '../../lab/table.js'
import type { Session } from '../session.js'
import type { Destination } from './exchange.js'
import type { LoopResult } from './loop.js'

/** The measurement, with everything a reader needs to judge it. */
export interface PingRun extends LoopResult {
  type: string
  device: string
  client: boolean
  size: number
  iterations: number
  warmup: number
  mtu: number
  events: boolean
  timestamps: 'software' | 'hardware'
  interrupted: boolean
  local: Destination
  remote: Destination
}

const columns = ['min', 'p50', 'p90', 'p99', 'p99.9', 'max', 'mean'] as const

export function printPing(run: PingRun, session: Session): void {
  const { style } = session
  const { type, device, size, samples, elapsed } = run
  const way = run.events ? 'asleep between messages' : 'polling'
  const done = run.sent < run.iterations || run.received < run.iterations ? ` of ${run.iterations}` : ''
  const cold = run.warmup > 0 ? `, after ${run.warmup} to warm up` : ''
  session.print(
    style.bold(
      `${type.toUpperCase()} ping-pong on ${device}: ${samples.count}${done} round trips of ${size} bytes, ${way}${cold}`,
    ),
  )
  if (samples.count === 0) {
    session.print('No answer arrived: nothing was measured.')
    return
  }
  const clock =
    run.timestamps === 'hardware'
      ? `the device's clock, at the completion of a receive`
      : `this program's clock, when it has seen the completion of a receive`
  session.print(`From one message's arrival to the next one's, by ${clock}:`)
  const sorted = samples.sorted()
  const summary = summarize(sorted)
  const cells = (scale: number) => columns.map((name) => (summary[name] * scale).toFixed(2))
  session.print(
    table(
      [
        ['µs', ...columns],
        ['round trip', ...cells(1)],
        ['half', ...cells(0.5)],
      ],
      ['left', ...columns.map(() => 'right' as const)],
    ),
  )
  session.print()
  session.print('Round trips by µs:')
  session.print(histogram(sorted, Math.max(10, Math.min(60, session.columns - 24))))
  session.print()
  const seconds = elapsed / 1000
  const bits = (run.sent + run.received) * size * 8
  session.print(`${seconds.toFixed(3)} s, ${(bits / seconds / 1e6).toFixed(1)} Mbit/s both ways together`)
}

/** The report as an object. Latencies are in microseconds. */
export function pingJson(run: PingRun): Record<string, unknown> {
  const { samples, elapsed, failure, ...rest } = run
  const sorted = samples.sorted()
  const roundTrip = sorted.length > 0 ? summarize(sorted) : null
  const half =
    roundTrip &&
    (Object.fromEntries(columns.map((name) => [name, roundTrip[name] / 2])) as unknown as Summary)
  return {
    ...rest,
    unit: 'us',
    samples: samples.count,
    roundTrip,
    half,
    // JSON has no infinity: the last bin has no upper edge.
    histogram:
      sorted.length > 0
        ? bins(sorted).map(({ from, to, count }) => [from, Number.isFinite(to) ? to : null, count])
        : [],
    seconds: elapsed / 1000,
    complete: failure === undefined && !run.interrupted,
    failure: failure ?? null,
  }
}

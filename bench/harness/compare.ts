import { median, ratioInterval } from './statistics.js'

/** One contender: an object in this process or a child, which stays alive and runs one short round on demand. */
export interface Side {
  /** Runs one round and returns one number for each metric of the comparison, in their order. */
  run(): number[] | Promise<number[]>
  close(): void | Promise<void>
}

/** What one number of a round means. */
export interface Metric {
  /** Name of the case in the output. */
  case: string
  unit: string
}

/** Ours against one peer. */
export interface Comparison {
  /** `c`, `ib_send_lat`, `pyverbs`, … */
  peer: string
  metrics: readonly Metric[]
  ours(): Side | Promise<Side>
  /** Called twice: the second instance is what the noise is measured with. */
  theirs(): Side | Promise<Side>
  /**
   * After how many rounds all sides are closed and opened again; 2 unless told. What a side happens to get when it is
   * opened (pages, queue pair numbers, a processor) moves its figures by some percent for as long as it lives: one C
   * ping-pong against another, opened once, gave 1.067 with an interval of 1.064 to 1.070.
   */
  roundsPerOpening?: number
}

/** One line of the result. */
export interface Row {
  case: string
  unit: string
  /** Median over the rounds. */
  ours: number
  peer: string
  /** Median over the rounds, of both instances of the peer. */
  theirs: number
  /** ours / theirs */
  ratio: number
  /** 95 % interval of the ratio. */
  low: number
  high: number
  /** The peer's first instance against its second, computed as the ratio is: what it is when nothing differs. */
  noise: number
  rounds: number
}

/** Rounds of every side that are run and forgotten: caches and the JIT warm up on all sides alike. */
const warmupRounds = 3

/**
 * Alternates short rounds of ours and of two instances of the peer.
 *
 * A round is peer, ours, ours, peer, and the next one begins with the instance that the last one ended with. Each side
 * thus runs twice in a row, once after the other side and once after itself, and a drift within the round cancels out.
 */
export async function compare(comparison: Comparison, rounds: number): Promise<Row[]> {
  // [metric][round]
  const table = () => comparison.metrics.map((): number[] => [])
  const { roundsPerOpening = 2 } = comparison
  const ours = table()
  const peers = [table(), table()]
  for (let done = 0; done < rounds; done += roundsPerOpening) {
    await withSides(comparison, async (our, theirs) => {
      const run = async (side: Side) =>
        checked(await side.run(), side === our ? 'ours' : comparison.peer, comparison)
      for (let i = 0; i < (done === 0 ? warmupRounds : 1); i++) {
        for (const side of [theirs[0], our, theirs[1]]) await run(side)
      }
      for (let round = done; round < Math.min(done + roundsPerOpening, rounds); round++) {
        const first = round % 2
        const before = await run(theirs[first])
        const one = await run(our)
        const two = await run(our)
        const after = await run(theirs[1 - first])
        for (let metric = 0; metric < comparison.metrics.length; metric++) {
          ours[metric].push((one[metric] + two[metric]) / 2)
          peers[first][metric].push(before[metric])
          peers[1 - first][metric].push(after[metric])
        }
      }
    })
  }
  return comparison.metrics.map((metric, i) =>
    row(metric, comparison.peer, ours[i], peers[0][i], peers[1][i], roundsPerOpening),
  )
}

/** Opens ours and two of theirs, and closes them whatever happens. */
async function withSides(
  comparison: Comparison,
  use: (ours: Side, theirs: readonly [Side, Side]) => Promise<void>,
): Promise<void> {
  const opened: Side[] = []
  const open = async (side: Side | Promise<Side>): Promise<Side> => {
    opened.push(await side)
    return opened[opened.length - 1]
  }
  try {
    const ours = await open(comparison.ours())
    await use(ours, [await open(comparison.theirs()), await open(comparison.theirs())])
  } finally {
    for (const side of opened.reverse()) await side.close()
  }
}

/** The result of a metric's rounds: ours, and the two instances of the peer. */
export function row(
  metric: Metric,
  peer: string,
  ours: readonly number[],
  first: readonly number[],
  second: readonly number[],
  roundsPerOpening = 1,
): Row {
  const theirs = first.map((value, round) => (value + second[round]) / 2)
  const oursMedian = median(ours)
  const theirsMedian = median(theirs)
  return {
    case: metric.case,
    unit: metric.unit,
    ours: oursMedian,
    peer,
    theirs: theirsMedian,
    ratio: oursMedian / theirsMedian,
    ...ratioInterval(ours, theirs, roundsPerOpening),
    noise: median(first) / median(second),
    rounds: ours.length,
  }
}

/** A side that answers with anything but its numbers did not run. */
function checked(numbers: number[], side: string, comparison: Comparison): number[] {
  const { length } = comparison.metrics
  if (numbers.length !== length || !numbers.every((value) => Number.isFinite(value) && value > 0)) {
    throw new Error(`${side} answered ${JSON.stringify(numbers)} where ${length} positive numbers were due`)
  }
  return numbers
}

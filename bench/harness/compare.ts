import { median, ratioInterval } from './statistics.js'

/** One contender: an object in this process or a child process, which runs a short round on request. */
export interface Side {
  /** Runs one round and returns a number for each metric of the comparison, in their order. */
  run(): number[] | Promise<number[]>
  close(): void | Promise<void>
}

/** The meaning of one number of a round. */
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
  /** Called twice: the second instance measures the noise. */
  theirs(): Side | Promise<Side>
  /**
   * Number of rounds after which all sides are closed and opened again; 2 by default. The resources that a side gets when it
   * opens (pages, queue pair numbers, a processor) shift its figures by some percent for its lifetime: one C ping-pong
   * against another, opened once, gave 1.067 with an interval of 1.064 to 1.070.
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
  /** The peer's first instance against its second, computed like the ratio: its value when nothing differs. */
  noise: number
  rounds: number
}

/** Discarded rounds of every side: caches and the JIT warm up on all sides alike. */
const warmupRounds = 3

/**
 * Alternates short rounds of ours and of two instances of the peer.
 *
 * A round is peer, ours, ours, peer, and the next one begins with the instance that ended the last. Each side thus runs
 * twice in a row, once after the other side and once after itself, and a drift within the round cancels out.
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

/** Opens ours and two instances of theirs, and closes them in any case. */
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

/** Returns the numbers of a side, or throws if it answered with anything else: then it did not run. */
function checked(numbers: number[], side: string, comparison: Comparison): number[] {
  const { length } = comparison.metrics
  if (numbers.length !== length || !numbers.every((value) => Number.isFinite(value) && value > 0)) {
    throw new Error(`${side} answered ${JSON.stringify(numbers)} where ${length} positive numbers were due`)
  }
  return numbers
}

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

/** Rounds of every side that are run and forgotten: caches, branch predictors and the JIT warm up on all sides alike. */
const warmupRounds = 3

/**
 * Alternates short rounds of ours and of two instances of the peer.
 *
 * A round is peer, ours, ours, peer, and the next one begins with the instance that the last one ended with. Each side
 * thus runs twice in a row, once after the other side and once after itself, and a drift within the round cancels out.
 */
export async function compare(comparison: Comparison, rounds: number): Promise<Row[]> {
  const opened: Side[] = []
  const open = async (side: Side | Promise<Side>): Promise<Side> => {
    opened.push(await side)
    return opened[opened.length - 1]
  }
  try {
    const ours = await open(comparison.ours())
    const peers = [await open(comparison.theirs()), await open(comparison.theirs())]
    const run = async (side: Side) =>
      checked(await side.run(), side === ours ? 'ours' : comparison.peer, comparison)
    for (let i = 0; i < warmupRounds; i++) for (const side of [peers[0], ours, peers[1]]) await run(side)

    // [metric][round]
    const table = () => comparison.metrics.map(() => new Array<number>(rounds))
    const oursBy = table()
    const peersBy = [table(), table()]
    for (let round = 0; round < rounds; round++) {
      const first = round % 2
      const before = await run(peers[first])
      const one = await run(ours)
      const two = await run(ours)
      const after = await run(peers[1 - first])
      for (let metric = 0; metric < comparison.metrics.length; metric++) {
        oursBy[metric][round] = (one[metric] + two[metric]) / 2
        peersBy[first][metric][round] = before[metric]
        peersBy[1 - first][metric][round] = after[metric]
      }
    }
    return comparison.metrics.map((metric, i) =>
      row(metric, comparison.peer, oursBy[i], peersBy[0][i], peersBy[1][i]),
    )
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
    ...ratioInterval(ours, theirs),
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

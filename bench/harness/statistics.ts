/** The statistics of a comparison: medians, percentiles, and the interval of a ratio. */

/** The middle value; of an even number of values, the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing')
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * Nearest-rank percentile of the first `count` values of a sorted array, as in the C peers and perftest: the smallest value
 * that at least `percent` % of the values do not exceed.
 */
export function percentile(sorted: ArrayLike<number>, percent: number, count = sorted.length): number {
  if (count === 0) throw new RangeError('the percentile of nothing')
  // In hundredths: 0.99 * 100 in binary floating point may be a rank too high.
  const rank = Math.ceil((Math.round(percent * 100) * count) / 10000)
  return sorted[Math.max(1, rank) - 1]
}

/** The interval that holds the ratio with 95 % confidence. */
export interface Interval {
  low: number
  high: number
}

/**
 * A 95 % interval of median(ours) / median(theirs), by a percentile bootstrap over rounds.
 *
 * The printed figure is a ratio of medians, so that is what is resampled (order statistics give an interval for the median
 * of the per-round ratios, which is another number). A round is drawn as a whole, ours with theirs: both ran within the same
 * second, so a disturbance of one disturbed the other, and separate draws would widen the interval by drift that the ratio
 * does not have. Conversely, rounds that shared one opening of the sides are drawn together, `block` at a time: they share
 * its luck, and independent draws would make the interval too narrow. The draws are seeded: the same rounds give the same
 * interval.
 */
export function ratioInterval(
  ours: readonly number[],
  theirs: readonly number[],
  block = 1,
  resamples = 4000,
): Interval {
  const rounds = ours.length
  if (rounds === 0 || theirs.length !== rounds) {
    throw new RangeError(`rounds must come in pairs, not ${rounds} and ${theirs.length}`)
  }
  const blocks = Math.ceil(rounds / block)
  const random = generator(0x9e3779b9)
  const ratios = new Float64Array(resamples)
  for (let i = 0; i < resamples; i++) {
    const drawnOurs: number[] = []
    const drawnTheirs: number[] = []
    for (let j = 0; j < blocks; j++) {
      const first = Math.floor(random() * blocks) * block
      for (let round = first; round < Math.min(first + block, rounds); round++) {
        drawnOurs.push(ours[round])
        drawnTheirs.push(theirs[round])
      }
    }
    ratios[i] = median(drawnOurs) / median(drawnTheirs)
  }
  ratios.sort()
  return { low: percentile(ratios, 2.5), high: percentile(ratios, 97.5) }
}

/** Uniform numbers in [0, 1): mulberry32, 32 bits of state (Tommy Ettinger, public domain). */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), bits | 61)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296
  }
}

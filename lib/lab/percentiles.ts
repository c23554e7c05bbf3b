/** Exact percentiles, from all samples. */

/** A buffer for samples, allocated once, so that recording one costs a store and no garbage. */
export class Samples {
  readonly #values: Float64Array
  #count = 0

  /** @param capacity the most samples it can hold */
  constructor(capacity: number) {
    this.#values = new Float64Array(capacity)
  }

  get count(): number {
    return this.#count
  }

  /** Records a sample. @throws RangeError beyond the capacity */
  record(value: number): void {
    if (this.#count === this.#values.length) throw new RangeError('more samples than there is room for')
    this.#values[this.#count++] = value
  }

  /** A copy of the samples in ascending order. */
  sorted(): Float64Array {
    return this.#values.slice(0, this.#count).sort()
  }
}

/**
 * The p-th percentile by nearest rank: the smallest sample that at least p % of all samples do not exceed. It is always a
 * sample, never interpolated.
 *
 * @param sorted at least one sample, ascending
 * @param p above 0, at most 100
 */
export function percentile(sorted: Float64Array, p: number): number {
  // Rounds the product first: 99.9 / 100 * 1000 is 999.0000000000001 in binary, and its ceiling one too many.
  const rank = Math.ceil(Number(((p / 100) * sorted.length).toPrecision(12)))
  return sorted[Math.max(1, rank) - 1]
}

export interface Summary {
  min: number
  p50: number
  p90: number
  p99: number
  'p99.9': number
  max: number
  mean: number
}

/** @param sorted at least one sample, ascending */
export function summarize(sorted: Float64Array): Summary {
  let sum = 0
  for (const value of sorted) sum += value
  return {
    min: sorted[0],
    p50: percentile(sorted, 50),
    p90: percentile(sorted, 90),
    p99: percentile(sorted, 99),
    'p99.9': percentile(sorted, 99.9),
    max: sorted[sorted.length - 1],
    mean: sum / sorted.length,
  }
}

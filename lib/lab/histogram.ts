/** A histogram in text. */
import { percentile } from './percentiles.js'
import { table } from './table.js'

export interface Bin {
  /** Lower edge of the bin. */
  from: number
  /** Upper edge, where the next bin begins. Infinity for the last bin. */
  to: number
  count: number
}

/**
 * Sorts samples into adjacent bins, from the smallest sample to the 99th percentile; one more bin, without an end, takes the
 * tail beyond. The bins are of equal width (1, 2 or 5 times a power of ten) where the samples lie close together, else each
 * begins at 1, 2 or 5 times a power of ten: equal bins would put all but a few samples into the first.
 *
 * @param sorted at least one sample, none negative, ascending
 * @param wanted approximate number of bins
 */
export function bins(sorted: Float64Array, wanted = 10): Bin[] {
  const low = sorted[0]
  const high = percentile(sorted, 99)
  const edges = low > 0 && high / low > 2 * wanted ? steps(low, high) : evenly(low, high, wanted)
  const result = edges.slice(1).map((to, i): Bin => ({ from: edges[i], to, count: 0 }))
  const last = edges[edges.length - 1]
  if (sorted[sorted.length - 1] >= last) result.push({ from: last, to: Number.POSITIVE_INFINITY, count: 0 })
  let bin = 0
  for (const value of sorted) {
    while (value >= result[bin].to) bin++
    result[bin].count++
  }
  return result
}

/** Edges at multiples of one width: the last lies above `high`. */
function evenly(low: number, high: number, wanted: number): number[] {
  const width = niceAtLeast((high - low) / wanted || low / wanted || 1)
  const edges: number[] = []
  // The quotient may have a rounding error: begin one bin early, and keep the last edge that is not above `low`.
  for (let n = Math.floor(low / width) - 1; ; n++) {
    const edge = multiple(n, width)
    if (edge <= low) edges.length = 0
    edges.push(edge)
    if (edge > high) return edges
  }
}

/** Edges at 1, 2 and 5 times each power of ten: the first is at most `low`, the last above `high`. */
function steps(low: number, high: number): number[] {
  const edges: number[] = []
  for (let power = Math.floor(Math.log10(low)); ; power++) {
    for (const factor of [1, 2, 5]) {
      const edge = decimal(factor, power)
      if (edge <= low) edges.length = 0
      edges.push(edge)
      if (edge > high) return edges
    }
  }
}

/** factor × 10^power, as exact as its decimal literal. */
function decimal(factor: number, power: number): number {
  return Number(`${factor}e${power}`)
}

/** n × width, without the digits that binary fractions add. */
function multiple(n: number, width: number): number {
  return Number((n * width).toPrecision(12))
}

/** The smallest of 1, 2 and 5 times a power of ten that is not below `width`. */
function niceAtLeast(width: number): number {
  const power = Math.floor(Math.log10(width))
  const factor = [1, 2, 5].find((each) => decimal(each, power) >= width)
  return factor === undefined ? decimal(1, power + 1) : decimal(factor, power)
}

/**
 * Prints the histogram: a line for each bin with its lower edge, its count and a bar; the longest bar has `columns`
 * characters.
 */
export function histogram(sorted: Float64Array, columns = 40): string {
  const all = bins(sorted)
  const peak = Math.max(...all.map((bin) => bin.count))
  // Enough decimals for the narrowest bin, which is the first.
  const digits = Math.max(0, -Math.floor(Math.log10(all[0].to - all[0].from)))
  return table(
    all.map(({ from, to, count }) => [
      `${to === Number.POSITIVE_INFINITY ? '≥ ' : ''}${from.toFixed(digits)}`,
      String(count),
      bar((count / peak) * columns),
    ]),
    ['right', 'right'],
  )
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

function bar(length: number): string {
  const units = Math.round(length * 8)
  // A bin with any sample shows at least the thinnest bar.
  if (units === 0) return length > 0 ? '▏' : ''
  return '█'.repeat(units >> 3) + eighths[units & 7]
}

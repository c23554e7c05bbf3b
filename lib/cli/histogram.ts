/** A histogram in text. */
import { percentile } from './percentiles.js'
import { table } from './table.js'

export interface Bin {
  /** Lowest value of the bin. */
  from: number
  /** Where the next bin begins. Infinity for the last. */
  to: number
  count: number
}

/**
 * Sorts samples into bins of equal width, from the smallest sample to the 99th percentile or a little above it; the
 * last bin takes the long tail. The width is 1, 2 or 5 times a power of ten, and the first bin begins at a multiple.
 *
 * @param sorted at least one sample, ascending
 * @param wanted about how many bins
 */
export function bins(sorted: Float64Array, wanted = 10): Bin[] {
  const low = sorted[0]
  const high = percentile(sorted, 99)
  const width = niceWidth((high - low) / wanted || Math.abs(low) / wanted || 1)
  const first = Math.floor(low / width)
  const last = Math.floor(high / width)
  const result: Bin[] = []
  for (let i = first; i <= last; i++) result.push({ from: i * width, to: (i + 1) * width, count: 0 })
  if (sorted[sorted.length - 1] >= (last + 1) * width) {
    result.push({ from: (last + 1) * width, to: Number.POSITIVE_INFINITY, count: 0 })
  }
  for (const value of sorted) {
    result[Math.min(Math.max(0, Math.floor(value / width) - first), result.length - 1)].count++
  }
  return result
}

/** The histogram as lines: a bin's lower edge, its count, and a bar; the longest bar takes `columns` characters. */
export function histogram(sorted: Float64Array, columns = 40): string {
  const all = bins(sorted)
  const peak = Math.max(...all.map((bin) => bin.count))
  const step = all[0].to - all[0].from
  const digits = Math.max(0, -Math.floor(Math.log10(step)))
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
  // A bin that holds anything at all shows at least the thinnest bar.
  if (units === 0) return length > 0 ? '▏' : ''
  return '█'.repeat(units >> 3) + eighths[units & 7]
}

function niceWidth(width: number): number {
  const power = 10 ** Math.floor(Math.log10(width))
  const factor = width / power
  return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10)
}

/** Percentiles of any number of samples, in memory of fixed size. */

/** Bins for each power of two: a bin is at most 1/64 of its value wide. */
const bits = 6
const perOctave = 1 << bits
/** The bins end at 2^48 ns, three days and six hours. Longer times go into the overflow bin. */
const octaves = 48
const end = 2 ** octaves
const overflowBin = (octaves - bits + 1) * perOctave

export interface Percentiles {
  p50: number
  p90: number
  p99: number
  'p99.9': number
  max: number
  /** Samples of 2^48 ns and more, which share a bin: a percentile among them is the maximum. */
  overflow: number
}

/**
 * A histogram of nanoseconds whose bins grow with the values. Recording takes a few instructions and no memory. Counts have
 * 64 bits in two words: 32 bits overflow after 72 minutes of a million samples a second.
 */
export class LogHistogram {
  readonly #low = new Uint32Array(overflowBin + 1)
  readonly #high = new Uint32Array(overflowBin + 1)
  #count = 0
  #max = 0

  get count(): number {
    return this.#count
  }

  /** Samples of 2^48 ns and more. */
  get overflow(): number {
    return this.#at(overflowBin)
  }

  /** @param nanoseconds negative values count as 0 */
  record(nanoseconds: number): void {
    if (nanoseconds > this.#max) this.#max = nanoseconds
    this.#count++
    const bin = binOf(nanoseconds)
    const low = (this.#low[bin] + 1) >>> 0
    this.#low[bin] = low
    if (low === 0) this.#high[bin]++
  }

  /** Records `count` samples of the same value. */
  add(nanoseconds: number, count: number): void {
    if (nanoseconds > this.#max) this.#max = nanoseconds
    this.#count += count
    const bin = binOf(nanoseconds)
    const sum = this.#at(bin) + count
    this.#low[bin] = sum % 2 ** 32
    this.#high[bin] = sum / 2 ** 32
  }

  /** The upper edge of the bin that holds the p-th percentile: at most 1/64 too high. NaN without samples. */
  percentile(p: number): number {
    if (this.#count === 0) return Number.NaN
    const rank = Math.max(1, Math.ceil(Number(((p / 100) * this.#count).toPrecision(12))))
    let seen = 0
    for (let bin = 0; bin < overflowBin; bin++) {
      seen += this.#at(bin)
      if (seen >= rank) return Math.min(upperEdge(bin), this.#max)
    }
    return this.#max
  }

  /** In microseconds; null without samples. */
  summary(): Percentiles | null {
    if (this.#count === 0) return null
    const at = (p: number) => this.percentile(p) / 1000
    return {
      p50: at(50),
      p90: at(90),
      p99: at(99),
      'p99.9': at(99.9),
      max: this.#max / 1000,
      overflow: this.overflow,
    }
  }

  #at(bin: number): number {
    return this.#high[bin] * 2 ** 32 + this.#low[bin]
  }
}

function binOf(nanoseconds: number): number {
  if (!(nanoseconds > 0)) return 0
  if (nanoseconds < 2 ** 32) return binOfWord(Math.floor(nanoseconds) >>> 0)
  // The lower bits of a large number do not affect its bin.
  return nanoseconds < end ? binOfWord((nanoseconds / 2 ** 16) >>> 0) + 16 * perOctave : overflowBin
}

function binOfWord(whole: number): number {
  if (whole < perOctave) return whole
  const exponent = 31 - Math.clz32(whole) - bits
  return (exponent + 1) * perOctave + (whole >>> exponent) - perOctave
}

/** The largest integer in the bin. */
function upperEdge(bin: number): number {
  if (bin < perOctave) return bin
  const exponent = Math.floor(bin / perOctave) - 1
  return ((bin % perOctave) + perOctave + 1) * 2 ** exponent - 1
}

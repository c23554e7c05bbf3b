/** Percentiles of any number of samples in memory of fixed size. */

/** Bins for each power of two: a bin is at most 1/64 of its value wide. */
const bits = 6
const perOctave = 1 << bits
const largest = 2 ** 32 - 1

export interface Percentiles {
  p50: number
  p90: number
  p99: number
  'p99.9': number
  max: number
}

/** A histogram of nanoseconds whose bins grow with the values. Recording costs a few instructions and no memory. */
export class LogHistogram {
  readonly #bins = new Uint32Array((33 - bits) * perOctave)
  #count = 0
  #max = 0

  get count(): number {
    return this.#count
  }

  /** @param nanoseconds negative ones count as 0; from 4.29 s on only the maximum is exact */
  record(nanoseconds: number): void {
    const value = nanoseconds <= 0 ? 0 : nanoseconds >= largest ? largest : nanoseconds
    if (nanoseconds > this.#max) this.#max = nanoseconds
    this.#count++
    this.#bins[binOf(value)]++
  }

  /** The upper edge of the bin in which the p-th percentile lies: at most 1/64 too high. NaN without samples. */
  percentile(p: number): number {
    if (this.#count === 0) return Number.NaN
    const rank = Math.max(1, Math.ceil(Number(((p / 100) * this.#count).toPrecision(12))))
    let seen = 0
    for (let bin = 0; bin < this.#bins.length; bin++) {
      seen += this.#bins[bin]
      if (seen >= rank) return Math.min(upperEdge(bin), this.#max)
    }
    return this.#max
  }

  /** In microseconds; null without samples. */
  summary(): Percentiles | null {
    if (this.#count === 0) return null
    const at = (p: number) => this.percentile(p) / 1000
    return { p50: at(50), p90: at(90), p99: at(99), 'p99.9': at(99.9), max: this.#max / 1000 }
  }
}

function binOf(value: number): number {
  const whole = Math.floor(value) >>> 0
  if (whole < perOctave) return whole
  const exponent = 31 - Math.clz32(whole) - bits
  return (exponent + 1) * perOctave + (whole >>> exponent) - perOctave
}

/** The largest whole number of the bin. */
function upperEdge(bin: number): number {
  if (bin < perOctave) return bin
  const exponent = Math.floor(bin / perOctave) - 1
  return ((bin % perOctave) + perOctave + 1) * 2 ** exponent - 1
}

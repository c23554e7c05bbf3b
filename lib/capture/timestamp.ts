/** 64-bit times in two 32-bit numbers: exact, without a BigInt for each frame. */

const billion = 1e9
const two16 = 2 ** 16
const two32 = 2 ** 32

/** The upper 32 bits of seconds × 10^9 + nanoseconds. */
export function nanosecondsHigh(seconds: number, nanoseconds: number): number {
  const upper = Math.floor(seconds / two16) * billion
  return Math.floor(upper / two16) + Math.floor(lower(seconds, nanoseconds) / two32)
}

/** The lower 32 bits of seconds × 10^9 + nanoseconds. */
export function nanosecondsLow(seconds: number, nanoseconds: number): number {
  return lower(seconds, nanoseconds) % two32
}

/** The sum without the part, in the upper half of the seconds, that fills whole multiples of 2^32. */
function lower(seconds: number, nanoseconds: number): number {
  const upper = Math.floor(seconds / two16) * billion
  return (upper % two16) * two16 + (seconds % two16) * billion + nanoseconds
}

/** The unit of a clock's ticks, as pcapng's if_tsresol gives it. */
export class Ticks {
  /** Seconds of the last time split. */
  seconds = 0
  nanoseconds = 0
  readonly #perSecond: number
  readonly #offset: number

  /**
   * @param perSecond a power of two or of ten
   * @param offset seconds to add (if_tsoffset)
   */
  constructor(perSecond: number, offset = 0) {
    this.#perSecond = perSecond
    this.#offset = offset
  }

  /** Splits a time into {@link seconds} and {@link nanoseconds}. */
  split(high: number, low: number): void {
    const unit = this.#perSecond
    if (unit > two32) {
      this.#splitFine(high, low)
      return
    }
    // Long division, 16 bits at a time: no intermediate result has more than 53.
    const first = high % unit
    const second = first * two16 + Math.floor(low / two16)
    const third = (second % unit) * two16 + (low % two16)
    this.seconds =
      Math.floor(high / unit) * two32 +
      Math.floor(second / unit) * two16 +
      Math.floor(third / unit) +
      this.#offset
    // Exact for powers of ten, of which a nanosecond is a multiple.
    this.nanoseconds = Math.floor((third % unit) * (billion / unit))
  }

  /** Units finer than a nanosecond. */
  #splitFine(high: number, low: number): void {
    const unit = BigInt(this.#perSecond)
    const time = (BigInt(high) << 32n) | BigInt(low)
    this.seconds = Number(time / unit) + this.#offset
    this.nanoseconds = Number(((time % unit) * 1_000_000_000n) / unit)
  }
}

import type { DeviceClock } from './clock.js'

/** Nanoseconds between two looks at the kernel's relation of the clocks, which it renews at its own times. */
const between = 1e9

/**
 * Converts the times of completions, in numbers: a bigint for each frame would be garbage. For days after the kernel's
 * relation a double is exact to a nanosecond.
 */
export class Stamps {
  readonly #clock: DeviceClock
  /** The kernel's relation: this reading of the device's clock, its upper and lower half, was that time. */
  #high = 0
  #low = 0
  #seconds = 0
  #nanoseconds = 0
  /** Nanoseconds to a cycle. */
  #perCycle = 0
  /** The counter's bits that are missing in its upper half. */
  #missing = 0
  /** When the relation was looked at, in nanoseconds after its second. */
  #looked = Number.NEGATIVE_INFINITY

  constructor(clock: DeviceClock) {
    this.#clock = clock
  }

  /**
   * Writes a reading's time, seconds since 1970 and the nanoseconds after them.
   *
   * @param high the reading's upper half, and its lower one
   */
  write(high: number, low: number, words: Uint32Array, place: number): void {
    let after = this.#after(high, low)
    if (after - this.#looked > between) {
      this.#clock.refresh()
      this.#take()
      after = this.#after(high, low)
      this.#looked = after
    }
    const carry = Math.floor(after / 1e9)
    words[place] = this.#seconds + carry
    words[place + 1] = Math.floor(after - carry * 1e9)
  }

  /** Nanoseconds after the relation's second. A reading of more than half the counter's width ahead is one from before. */
  #after(high: number, low: number): number {
    const missing = this.#missing
    const cycles = (((high - this.#high) << missing) >> missing) * 2 ** 32 + (low - this.#low)
    return this.#nanoseconds + cycles * this.#perCycle
  }

  #take(): void {
    const { nanoseconds, lastCycles, fraction, multiplier, shift, mask } = this.#clock.relation
    const scale = 2 ** Number(shift)
    const cycles = lastCycles & mask
    this.#high = Number(cycles >> 32n)
    this.#low = Number(cycles & 0xffff_ffffn)
    this.#seconds = Number(nanoseconds / 1_000_000_000n)
    this.#nanoseconds = Number(nanoseconds % 1_000_000_000n) + Number(fraction) / scale
    this.#perCycle = Number(multiplier) / scale
    this.#missing = 64 - mask.toString(2).length
  }
}

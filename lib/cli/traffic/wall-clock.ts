/** The time of day in nanoseconds; Date.now() has milliseconds only. */

/**
 * CLOCK_REALTIME to about a microsecond: `performance.now()` plus an offset, found at a tick of `Date.now()` and corrected
 * to agree with each later reading of both, so that it follows a clock that is being adjusted.
 */
export class WallClock {
  #offset = Number.NEGATIVE_INFINITY
  /** The result of the last {@link read} or {@link at}. */
  seconds = 0
  nanoseconds = 0

  constructor() {
    // Waits at most a millisecond, until the next tick.
    const before = Date.now()
    while (Date.now() === before) {}
    this.read()
  }

  /** Sets {@link seconds} and {@link nanoseconds} to now. */
  read(): void {
    const before = performance.now()
    const date = Date.now()
    const after = performance.now()
    // Date.now() showed this millisecond at some moment between the two readings: bound the offset accordingly.
    if (this.#offset < date - after) this.#offset = date - after
    else if (this.#offset > date + 1 - before) this.#offset = date + 1 - before
    this.at(after)
  }

  /** Sets {@link seconds} and {@link nanoseconds} to a moment of `performance.now()`, based on the last {@link read}. */
  at(moment: number): void {
    const time = this.#offset + moment
    this.seconds = Math.floor(time / 1000)
    this.nanoseconds = Math.floor((time % 1000) * 1e6)
  }
}

/** The time of day in nanoseconds, which JavaScript tells in milliseconds only. */

/**
 * CLOCK_REALTIME to a microsecond or so: `performance.now()` plus an offset, found at a tick of `Date.now()` and kept
 * within what every later look at both allows, so that it follows a clock that is being adjusted.
 */
export class WallClock {
  #offset = Number.NEGATIVE_INFINITY
  /** Of the last {@link read} or {@link at}. */
  seconds = 0
  nanoseconds = 0

  constructor() {
    // At most a millisecond: until the next tick.
    const before = Date.now()
    while (Date.now() === before) {}
    this.read()
  }

  /** Sets {@link seconds} and {@link nanoseconds} to now. */
  read(): void {
    const before = performance.now()
    const date = Date.now()
    const after = performance.now()
    // Whatever happened in between: the clock showed this millisecond somewhere between the two.
    if (this.#offset < date - after) this.#offset = date - after
    else if (this.#offset > date + 1 - before) this.#offset = date + 1 - before
    this.at(after)
  }

  /** Sets {@link seconds} and {@link nanoseconds} to a moment of `performance.now()`, by the last {@link read}. */
  at(moment: number): void {
    const time = this.#offset + moment
    this.seconds = Math.floor(time / 1000)
    this.nanoseconds = Math.floor((time % 1000) * 1e6)
  }
}

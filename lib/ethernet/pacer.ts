import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { type WaitOptions, waitSignal } from '../wait-options.js'

/** Never notified: a wait on it is a sleep of less than a millisecond (futex(2)). */
const bell = new Int32Array(new SharedArrayBuffer(4))

/** Milliseconds: longer waits sleep on the event loop, whose timers are that coarse. */
const longestHold = 2
/**
 * Milliseconds before the target at which {@link Pacer.hold} begins to spin: the kernel wakes a sleeper that much too
 * late.
 */
const margin = 0.1

/**
 * Waits for moments in time, to a microsecond or so, on the clock of `performance.now()`.
 *
 * Far from the target it sleeps on the event loop, near it the thread sleeps, and for the last 100 µs it spins: pacing
 * a thousand frames a second costs a tenth of a processor, not all of one.
 */
export const Pacer = {
  /**
   * Blocks this thread until a moment that is at most 2 ms away.
   *
   * @param time in milliseconds of `performance.now()`
   * @returns whether the moment has come; false when it is further away: call {@link Pacer.sleep} first
   */
  hold(time: number): boolean {
    const left = time - performance.now()
    if (left > longestHold) return false
    if (left > margin) Atomics.wait(bell, 0, 0, left - margin)
    while (performance.now() < time) {}
    return true
  },

  /**
   * Sleeps on the event loop until {@link Pacer.hold} can do the rest.
   *
   * @throws the signal's reason, as an AbortError
   */
  async sleep(time: number, options?: WaitOptions): Promise<void> {
    const signal = waitSignal(options)
    const left = time - longestHold / 2 - performance.now()
    // A timer takes whole milliseconds, 2^31 − 1 at most.
    if (left >= 1) await delay(Math.min(Math.floor(left), 2 ** 31 - 1), undefined, { signal })
    else await turn(undefined, { signal })
  },
}

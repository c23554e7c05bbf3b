/** Turns of the event loop, for loops that would else run without one. */
import { setImmediate as turn } from 'node:timers/promises'

/** How long a loop may run in one go, in milliseconds: Ctrl-C and timers wait no longer than that. */
const limit = 10

export class Breath {
  #last = performance.now()

  /** Whether it is time to let timers and signals through. */
  due(now = performance.now()): boolean {
    return now - this.#last > limit
  }

  async take(): Promise<void> {
    await turn()
    this.#last = performance.now()
  }
}

/** Yields to the event loop, in loops that would otherwise block it. */
import { setImmediate as turn } from 'node:timers/promises'

/** Milliseconds for which a loop may block the event loop: the longest delay of Ctrl-C and timers. */
const limit = 10

export class Yielder {
  #last = performance.now()

  /** Whether the loop has blocked the event loop long enough. */
  due(now = performance.now()): boolean {
    return now - this.#last > limit
  }

  async yield(): Promise<void> {
    await turn()
    this.#last = performance.now()
  }
}

/** Yields to the event loop, in loops that would otherwise block it. */
import { setImmediate as turn } from 'node:timers/promises'

export class Yielder {
  readonly #limit: number
  #last = performance.now()

  /** @param limit milliseconds for which a loop may block the event loop: the longest delay of Ctrl-C and timers */
  constructor(limit = 10) {
    this.#limit = limit
  }

  /** Whether the loop has blocked the event loop long enough. */
  due(now = performance.now()): boolean {
    return now - this.#last > this.#limit
  }

  async yield(): Promise<void> {
    await turn()
    this.#last = performance.now()
  }
}

/** One line at the bottom of a terminal that says how things go; nothing where there is no terminal. */
import type { Writable } from 'node:stream'
import { patient } from './terminal.js'

/** Milliseconds between two versions of the line. */
const period = 500

export class LiveLine {
  readonly #stream: Writable
  readonly #columns: () => number
  readonly #shown: boolean
  #next = performance.now() + period
  #there = false

  constructor(stream: NodeJS.WriteStream & { fd: number } = process.stderr) {
    this.#stream = patient(stream)
    this.#columns = () => stream.columns || 80
    this.#shown = stream.isTTY === true && process.env.TERM !== 'dumb'
  }

  /** Whether it is time for a new version. */
  due(now: number): boolean {
    if (!this.#shown || now < this.#next) return false
    this.#next = now + period
    return true
  }

  show(text: string): void {
    // One row only: a longer line would leave its beginnings behind.
    this.#stream.write(`\r\x1b[K${text.slice(0, this.#columns() - 1)}`)
    this.#there = true
  }

  /** Takes the line away: what comes next begins where it stood. */
  clear(): void {
    if (this.#there) this.#stream.write('\r\x1b[K')
    this.#there = false
  }
}

/** How many a second, since the last time it was asked. */
export class Speed {
  #count = 0
  #time = performance.now()

  since(count: number, now: number): number {
    const speed = ((count - this.#count) * 1000) / Math.max(now - this.#time, 1e-3)
    this.#count = count
    this.#time = now
    return speed
  }
}

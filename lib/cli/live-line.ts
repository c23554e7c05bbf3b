/** A progress line at the bottom of a terminal; nothing where there is no terminal. */
import type { Writable } from 'node:stream'
import { nonBlocking } from './terminal.js'

/** Milliseconds between updates. */
const period = 500

export class LiveLine {
  readonly #stream: Writable
  readonly #columns: () => number
  readonly #shown: boolean
  #next = performance.now() + period
  #there = false

  constructor(stream: NodeJS.WriteStream & { fd: number } = process.stderr) {
    this.#stream = nonBlocking(stream)
    this.#columns = () => stream.columns || 80
    this.#shown = stream.isTTY === true && process.env.TERM !== 'dumb'
  }

  /** Whether an update is due. */
  due(now: number): boolean {
    if (!this.#shown || now < this.#next) return false
    this.#next = now + period
    return true
  }

  show(text: string): void {
    // At most one row: `\r` would leave the first rows of a longer line behind.
    this.#stream.write(`\r\x1b[K${text.slice(0, this.#columns() - 1)}`)
    this.#there = true
  }

  /** Erases the line: the next output starts in its place. */
  clear(): void {
    if (this.#there) this.#stream.write('\r\x1b[K')
    this.#there = false
  }
}

/** Rate per second since the last call. */
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

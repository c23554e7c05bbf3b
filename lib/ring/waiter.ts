/**
 * The one consumer that sleeps on a ring: a promise with an AbortSignal, one at a time.
 */
export class Waiter {
  #resolve: ((count: number) => void) | undefined
  #reject: ((reason: unknown) => void) | undefined
  #signal: AbortSignal | undefined
  readonly #stopped: () => void

  /** @param stopped called when the wait ends for whatever reason, before its promise settles */
  constructor(stopped: () => void) {
    this.#stopped = stopped
  }

  /** Somebody waits. */
  get pending(): boolean {
    return this.#resolve !== undefined
  }

  /** The promise of a new wait; nobody else may be waiting. It rejects with the signal's reason on abort. */
  start(signal: AbortSignal | undefined): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#signal = signal
      signal?.addEventListener('abort', this.#aborted)
    })
  }

  resolve(count: number): void {
    const resolve = this.#resolve
    this.#settle()
    resolve?.(count)
  }

  reject(reason: unknown): void {
    const reject = this.#reject
    this.#settle()
    reject?.(reason)
  }

  readonly #aborted = (): void => this.reject(this.#signal?.reason)

  #settle(): void {
    this.#signal?.removeEventListener('abort', this.#aborted)
    this.#resolve = this.#reject = this.#signal = undefined
    this.#stopped()
  }
}

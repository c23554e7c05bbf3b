import { setMaxListeners } from 'node:events'
import { closedError } from './errors.js'

/** The pending waiters of all objects: closing an object closes its children. */
const waiting = new Set<{ close(): void }>()

/**
 * One pending wait on an object: a promise with an AbortSignal, one at a time. It rejects with ERR_IBVERBS_CLOSED when
 * the object, or a parent of it, is closed ({@link rejectClosed}).
 */
export class Waiter<T> {
  readonly #owner: { readonly closed: boolean }
  readonly #name: string
  readonly #started: (() => void) | undefined
  readonly #stopped: (() => void) | undefined
  #resolve: ((value: T) => void) | undefined
  #reject: ((reason: unknown) => void) | undefined
  #signal: AbortSignal | undefined

  /**
   * @param name the owner's name, in the error when it is closed
   * @param hooks called when a wait begins, and when it ends for any reason, before its promise settles
   */
  constructor(
    owner: { readonly closed: boolean },
    name: string,
    hooks: { started?: () => void; stopped?: () => void },
  ) {
    this.#owner = owner
    this.#name = name
    this.#started = hooks.started
    this.#stopped = hooks.stopped
  }

  /** Whether a wait is pending. */
  get pending(): boolean {
    return this.#resolve !== undefined
  }

  /** Starts a wait, where none is pending. Its promise rejects with the signal's reason on abort. */
  start(signal: AbortSignal | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#signal = signal
      if (signal) {
        // One signal ends the waits of any number of objects, and each takes its listener away: no leak to warn of.
        setMaxListeners(0, signal)
        signal.addEventListener('abort', this.#aborted)
      }
      waiting.add(this)
      this.#started?.()
    })
  }

  resolve(value: T): void {
    const resolve = this.#resolve
    this.#settle()
    resolve?.(value)
  }

  reject(reason: unknown): void {
    const reject = this.#reject
    this.#settle()
    reject?.(reason)
  }

  /** Rejects a pending wait whose owner is closed. */
  close(): void {
    if (this.pending && this.#owner.closed) this.reject(closedError(this.#name))
  }

  readonly #aborted = (): void => this.reject(this.#signal?.reason)

  #settle(): void {
    if (!this.pending) return
    this.#signal?.removeEventListener('abort', this.#aborted)
    this.#resolve = this.#reject = this.#signal = undefined
    waiting.delete(this)
    this.#stopped?.()
  }
}

/** Rejects every pending wait on an object that is now closed. */
export function rejectClosed(): void {
  for (const waiter of waiting) waiter.close()
}

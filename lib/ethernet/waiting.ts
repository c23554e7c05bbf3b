import { rangeError, typeError } from '../argument.js'
import { busyError, closedError } from '../errors.js'
import { type WaitOptions, waitSignal } from '../wait-options.js'
import { Waiter } from '../waiter.js'
import type { Outcome } from './hot/state.js'
import type { Port, ReceivingEnd } from './port.js'
import type { Transmitter } from './transmitter.js'

/** The most milliseconds between two turns of the event loop: timers and signals get through. */
const turnLimit = 0.5
const oneConsumer = 'another wait() or spin() is waiting: a queue has one consumer'
const oneDrain = 'another drain() is waiting: one at a time'

/**
 * Sleeps and spins on a queue. The descriptor is level-triggered: a wait looks first, then sleeps, and a frame that
 * comes in between wakes it at once.
 */
export class Waiting {
  readonly #port: Port
  readonly #receiver: ReceivingEnd
  readonly #transmitter: Transmitter
  readonly #outcome: Outcome
  #closed = false
  #referenced = true
  /** Pending frames wait for room in the socket's send buffer. */
  #full = false
  /** The next slice of the current spin; undefined: no spin. */
  #slice: (() => void) | undefined
  /** The last known turn of the event loop. */
  #turn = performance.now()
  readonly #waiter = new Waiter<number>(this, 'packet queue', {
    stopped: () => {
      this.#slice = undefined
      this.#arm()
    },
  })
  readonly #drainer = new Waiter<void>(this, 'packet queue', { stopped: () => this.#arm() })

  constructor(port: Port, receiver: ReceivingEnd, transmitter: Transmitter, outcome: Outcome) {
    this.#port = port
    this.#receiver = receiver
    this.#transmitter = transmitter
    this.#outcome = outcome
  }

  get closed(): boolean {
    return this.#closed
  }

  async wait(options: WaitOptions | undefined): Promise<number> {
    const signal = this.#begin(options, this.#waiter, oneConsumer)
    const count = this.#receiver.awaitable()
    if (count > 0 && performance.now() - this.#turn < turnLimit) return count
    const done = this.#waiter.start(signal)
    if (count > 0) this.#later(this.#look)
    else this.#arm()
    return done
  }

  async spin(microseconds: number, options: WaitOptions | undefined): Promise<number> {
    if (typeof microseconds !== 'number') throw typeError('microseconds', 'a number', microseconds)
    if (!(microseconds >= 0)) throw rangeError('microseconds', 'at least 0', microseconds)
    const signal = this.#begin(options, this.#waiter, oneConsumer)
    const deadline = performance.now() + microseconds / 1000
    const count = this.#spinUntil(deadline)
    if (count >= 0) return count
    const slice = (): void => {
      if (this.#slice !== slice) return
      this.#turn = performance.now()
      try {
        const found = this.#spinUntil(deadline)
        if (found >= 0) this.#waiter.resolve(found)
        else this.#later(slice)
      } catch (error) {
        this.#waiter.reject(error)
      }
    }
    this.#slice = slice
    const done = this.#waiter.start(signal)
    this.#later(slice)
    return done
  }

  async drain(options: WaitOptions | undefined): Promise<void> {
    const signal = this.#begin(options, this.#drainer, oneDrain)
    const done = this.#drainer.start(signal)
    this.#flush()
    await done
  }

  reference(on: boolean): void {
    this.#referenced = on
    this.#arm()
  }

  /** Handles the port's event: something to receive, room to send, or an error that the next look finds. */
  wake(): void {
    this.#flush()
    this.#look()
  }

  close(): void {
    this.#closed = true
    this.#waiter.close()
    this.#drainer.close()
  }

  #begin(
    options: WaitOptions | undefined,
    waiter: { pending: boolean },
    busy: string,
  ): AbortSignal | undefined {
    const signal = waitSignal(options)
    if (this.#closed) throw closedError('packet queue')
    if (waiter.pending) throw busyError(busy)
    signal?.throwIfAborted()
    return signal
  }

  /** The number of frames, 0 at the deadline, or −1 when the event loop must turn first. */
  #spinUntil(deadline: number): number {
    const limit = this.#turn + turnLimit
    for (;;) {
      const count = this.#receiver.awaitable()
      const now = performance.now()
      if (now >= limit) return -1
      if (count > 0) return count
      if (now >= deadline) return 0
    }
  }

  #later(callback: () => void): void {
    const immediate = setImmediate(callback)
    if (!this.#referenced) immediate.unref()
  }

  readonly #look = (): void => {
    this.#turn = performance.now()
    if (!this.#waiter.pending || this.#slice) return
    try {
      const count = this.#receiver.awaitable()
      if (count > 0) this.#waiter.resolve(count)
      else this.#arm()
    } catch (error) {
      this.#waiter.reject(error)
    }
  }

  readonly #flush = (): void => {
    if (!this.#drainer.pending) return
    this.#transmitter.submit()
    const { pending, error } = this.#outcome
    const { congested } = this.#transmitter
    this.#full = pending > 0 && error === null && !congested
    if (error) {
      this.#drainer.reject(error)
    } else if (pending === 0) {
      this.#drainer.resolve()
    } else if (congested) {
      // The device's own queue is full, not the socket's buffer: poll(2) would report writable at once.
      const timer = setTimeout(this.#flush, 1)
      if (!this.#referenced) timer.unref()
    } else {
      this.#arm()
    }
  }

  #arm(): void {
    if (this.#closed) return
    const readable = this.#waiter.pending && !this.#slice
    const writable = this.#drainer.pending && this.#full
    if (readable || writable) this.#port.arm(readable, writable, this.#referenced)
    else this.#port.disarm()
  }
}

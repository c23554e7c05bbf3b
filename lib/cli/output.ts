/** A file to write to, or a pipe: a signal interrupts the wait for its reader. */
import { once } from 'node:events'
import { closeSync, constants, fstatSync, openSync, statSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds between attempts to open a FIFO: the kernel sends no event when a reader opens it. */
const retryInterval = 50

/** Milliseconds that a reader has for the remaining output after a signal. */
export const grace = 300

export class Output {
  readonly path: string
  readonly #signal: AbortSignal
  #file: number
  readonly #stream: Socket | undefined
  #error: Error | undefined

  private constructor(path: string, file: number, signal: AbortSignal) {
    this.path = path
    this.#file = file
    this.#signal = signal
    const status = fstatSync(file)
    if (!status.isFIFO() && !status.isSocket()) return
    this.#stream = new Socket({ fd: file, readable: false, writable: true })
    this.#file = -1
    this.#stream.on('error', (error) => {
      this.#error ??= error
    })
  }

  /**
   * Creates or truncates the file; waits for the reader of a FIFO.
   *
   * @throws the error of open(2); the signal's reason
   */
  static async open(path: string, signal: AbortSignal): Promise<Output> {
    // Without O_NONBLOCK, open(2) of a FIFO waits for a reader.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK
    for (;;) {
      try {
        return new Output(path, openSync(path, flags, 0o666), signal)
      } catch (error) {
        // open(2) of a socket fails with ENXIO too.
        if ((error as NodeJS.ErrnoException).code !== 'ENXIO' || !statSync(path).isFIFO()) throw error
      }
      await delay(retryInterval, undefined, { signal })
    }
  }

  /**
   * Resolves when the bytes may be overwritten; after the signal aborts, possibly before the reader has taken them.
   *
   * @throws the error of write(2)
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#error) throw this.#named(this.#error)
    const stream = this.#stream
    if (!stream) {
      for (let at = 0; at < bytes.length; ) {
        try {
          at += writeSync(this.#file, bytes, at)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw this.#named(error as Error)
          await delay(retryInterval, undefined, { signal: this.#signal })
        }
      }
      return
    }
    // A copy: the caller reuses its buffer before a slow reader has taken it.
    if (!stream.write(bytes.slice()) && !this.#signal.aborted) {
      await once(stream, 'drain', { signal: this.#signal }).catch(() => {})
    }
    if (this.#error) throw this.#named(this.#error)
  }

  #named(error: Error): Error {
    if (!error.message.startsWith(this.path)) error.message = `${this.path}: ${error.message}`
    return error
  }

  /** Resolves when the reader has taken all, or its time is over. */
  async close(): Promise<void> {
    if (this.#file >= 0) closeSync(this.#file)
    this.#file = -1
    const stream = this.#stream
    if (!stream || stream.destroyed) return
    const ended = new Promise<void>((resolve) => {
      stream.once('close', resolve)
      stream.end()
    })
    await untilOrAbort(ended, this.#signal)
    stream.destroy()
  }
}

/** Waits for a promise; after a signal, no longer than {@link grace}. */
export async function untilOrAbort(done: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const aborted = signal.aborted
    ? Promise.resolve()
    : once(signal, 'abort', { signal: over.signal }).catch(() => {})
  const late = aborted.then(() => delay(grace, undefined, { signal: over.signal }).catch(() => {}))
  await Promise.race([done, late])
  over.abort()
}

/** A file to write to, which may be a pipe: whoever waits for its reader can be interrupted. */
import { once } from 'node:events'
import { closeSync, constants, fstatSync, openSync, statSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** How often somebody is looked for at the other end of a FIFO, in milliseconds: nothing tells when he comes. */
const patience = 50

/** How long a reader may take for what is left after a signal, in milliseconds. */
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
   * Makes the file, or cuts it to nothing; waits for the reader of a FIFO.
   *
   * @throws what open(2) says; the signal's reason
   */
  static async open(path: string, signal: AbortSignal): Promise<Output> {
    // Without O_NONBLOCK, open(2) of a FIFO waits for somebody to read from it.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK
    for (;;) {
      try {
        return new Output(path, openSync(path, flags, 0o666), signal)
      } catch (error) {
        // The name of a socket is ENXIO too.
        if ((error as NodeJS.ErrnoException).code !== 'ENXIO' || !statSync(path).isFIFO()) throw error
      }
      await delay(patience, undefined, { signal })
    }
  }

  /**
   * Resolves when the bytes may be overwritten; when the signal aborts, also before the reader has taken them.
   *
   * @throws what write(2) says
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
          await delay(patience, undefined, { signal: this.#signal })
        }
      }
      return
    }
    // A copy: the caller's buffer is filled again before a slow reader has taken it.
    if (!stream.write(bytes.slice()) && !this.#signal.aborted) {
      await once(stream, 'drain', { signal: this.#signal }).catch(() => {})
    }
    if (this.#error) throw this.#named(this.#error)
  }

  #named(error: Error): Error {
    if (!error.message.startsWith(this.path)) error.message = `${this.path}: ${error.message}`
    return error
  }

  /** Resolves when the reader has taken all, or has had his time. */
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

/** Waits for something, and after a signal for no longer than {@link grace}. */
export async function untilOrAbort(done: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const aborted = signal.aborted
    ? Promise.resolve()
    : once(signal, 'abort', { signal: over.signal }).catch(() => {})
  const late = aborted.then(() => delay(grace, undefined, { signal: over.signal }).catch(() => {}))
  await Promise.race([done, late])
  over.abort()
}

/** A file to read from, or a pipe: a signal interrupts the wait for its writer. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty, ReadStream } from 'node:tty'

const chunkSize = 1 << 20

export class Input {
  readonly path: string
  /** Whether it is a regular file, which can be read again from its beginning. */
  readonly regular: boolean
  #file: number
  /**
   * For a pipe, socket or terminal: libuv polls it, instead of blocking one of its threads, which would delay the process's
   * exit.
   */
  readonly #stream: Socket | undefined
  #error: Error | undefined
  #position = 0
  /** Two buffers in turn: the previous bytes stay valid during the next read. */
  readonly #chunks: Buffer[] = []

  /**
   * @param file its descriptor, if it is open already
   * @throws the error of open(2)
   */
  constructor(path: string, file?: number) {
    this.path = path
    // Without O_NONBLOCK, open(2) of a FIFO waits for a writer.
    this.#file = file ?? openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const status = fstatSync(this.#file)
    this.regular = status.isFile() || status.isBlockDevice()
    const terminal = isatty(this.#file)
    if (status.isFIFO() || status.isSocket() || terminal) {
      this.#stream = terminal
        ? new ReadStream(this.#file)
        : new Socket({ fd: this.#file, readable: true, writable: false })
      this.#file = -1
      this.#stream.on('error', (error) => {
        this.#error = error
      })
    } else {
      this.#chunks.push(Buffer.allocUnsafeSlow(chunkSize), Buffer.allocUnsafeSlow(chunkSize))
    }
  }

  static standard(): Input {
    return new Input('standard input', 0)
  }

  /**
   * The next bytes, valid until the call after the next; null at the end; undefined when none have arrived yet.
   *
   * @throws the error of read(2)
   */
  read(): Uint8Array | null | undefined {
    const stream = this.#stream
    if (stream) {
      if (this.#error) throw this.#error
      return (stream.read() as Buffer | null) ?? (stream.readableEnded || stream.destroyed ? null : undefined)
    }
    const [chunk] = this.#chunks
    this.#chunks.reverse()
    const length = readSync(this.#file, chunk, 0, chunkSize, this.regular ? this.#position : null)
    this.#position += length
    return length > 0 ? chunk.subarray(0, length) : null
  }

  /** Starts again from the beginning; only for a {@link regular} file. */
  rewind(): void {
    this.#position = 0
  }

  /** Resolves when {@link read} has bytes or the end to return, or when the signal aborts. */
  arrival(signal: AbortSignal): Promise<void> {
    const stream = this.#stream
    return new Promise((resolve) => {
      if (
        !stream ||
        stream.readableLength > 0 ||
        stream.readableEnded ||
        stream.destroyed ||
        signal.aborted
      ) {
        resolve()
        return
      }
      const events = ['readable', 'end', 'error', 'close'] as const
      const done = () => {
        for (const event of events) stream.off(event, done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      for (const event of events) stream.on(event, done)
      signal.addEventListener('abort', done)
    })
  }

  close(): void {
    this.#stream?.destroy()
    if (this.#file >= 0) closeSync(this.#file)
    this.#file = -1
  }
}

/** Reads a whole file. @throws the reason of the signal when it aborts */
export async function readAll(path: string, signal: AbortSignal): Promise<Buffer> {
  const input = new Input(path)
  try {
    const parts: Uint8Array[] = []
    for (;;) {
      const part = input.read()
      if (part === null) return Buffer.concat(parts)
      if (part) parts.push(Uint8Array.from(part))
      else await input.arrival(signal)
      signal.throwIfAborted()
    }
  } finally {
    input.close()
  }
}

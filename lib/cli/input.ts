/** A file to read from, which may be a pipe: whoever waits for its writer can be interrupted. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty, ReadStream } from 'node:tty'

const chunkSize = 1 << 20

export class Input {
  readonly path: string
  /** Whether it can be read again from its beginning. */
  readonly regular: boolean
  #file: number
  /** A pipe, a socket or a terminal: libuv waits for it, not one of its threads, which would hold the process's exit. */
  readonly #stream: Socket | undefined
  #error: Error | undefined
  #position = 0
  /** What was read last is still in use when the next is read. */
  readonly #chunks: Buffer[] = []

  /**
   * @param file its descriptor, if it is open
   * @throws what open(2) says
   */
  constructor(path: string, file?: number) {
    this.path = path
    // Without O_NONBLOCK, open(2) of a FIFO waits for somebody to write to it.
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
   * The next bytes, good until the call after the next; null at the end; undefined when there are none yet.
   *
   * @throws what read(2) says
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

  /** From the beginning again; only of a {@link regular} one. */
  rewind(): void {
    this.#position = 0
  }

  /** Resolves when {@link read} has something new to say; also when the signal aborts. */
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

/** All of a file, or what there is of it when the signal aborts, whose reason is thrown then. */
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

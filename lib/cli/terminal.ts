/** Standard output and error of a terminal, written without blocking: a terminal may be stopped (Ctrl-S), or hang. */
import { constants, openSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'

/** Milliseconds between attempts to write to a terminal that accepts nothing. */
const retryInterval = 10

class Terminal extends Writable {
  readonly #file: number

  constructor(file: number) {
    super()
    this.#file = file
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error) => void): void {
    let at = 0
    try {
      while (at < chunk.length) at += writeSync(this.#file, chunk, at)
      done()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN')
        setTimeout(() => this._write(chunk.subarray(at), encoding, done), retryInterval)
      else done(error as Error)
    }
  }
}

const terminals = new Map<number, Writable>()

/** The stream itself, or another on the same terminal: Node's own blocks the process while the terminal accepts nothing. */
export function nonBlocking(stream: NodeJS.WriteStream & { fd: number }): Writable {
  if (!stream.isTTY) return stream
  let terminal = terminals.get(stream.fd)
  if (terminal === undefined) {
    try {
      // A new open file description: the shell's, which other processes share, stays blocking.
      const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY
      terminal = new Terminal(openSync(`/proc/self/fd/${stream.fd}`, flags))
    } catch {
      terminal = stream // another user's terminal: after su(1)
    }
    terminals.set(stream.fd, terminal)
  }
  return terminal
}

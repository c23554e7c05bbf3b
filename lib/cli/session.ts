/** One run of the program: its output, and its interruption. */
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ExitCode } from './exit-code.js'
import { untilOrAbort } from './output.js'
import { makeStyle, type Style, wantsColour } from './style.js'
import { nonBlocking } from './terminal.js'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

type Stream = NodeJS.WriteStream & { fd: number }

/** What surrounds a run: the process, or a stand-in where many runs share a process. */
export interface Surroundings {
  readonly stdout: Stream
  readonly stderr: Stream
  readonly env: NodeJS.ProcessEnv
  once(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

/**
 * Output and interruption for a command. A signal, or a reader of standard output that has gone (`… | head`), aborts
 * {@link Session.signal}: the command then closes everything it opened, prints its results so far and returns. A second
 * signal has the system's default action.
 */
export class Session {
  readonly style: Style
  readonly #around: Surroundings
  readonly #out: Writable
  readonly #errors: Writable
  readonly #abort = new AbortController()
  #received: NodeJS.Signals | undefined
  #unread = false
  #failed = false
  #name = 'ibverbs'

  constructor(around: Surroundings = process) {
    this.#around = around
    this.#out = nonBlocking(around.stdout)
    this.#errors = nonBlocking(around.stderr)
    this.style = makeStyle(wantsColour(around.stdout, around.env))
    for (const signal of signals) around.once(signal, this.#interrupt)
    this.#out.on('error', this.#lost)
    // Without standard error, there is nowhere to report an error.
    this.#errors.on('error', () => {})
  }

  /** Aborts when the command must end. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether the command was interrupted before it was done. */
  get interrupted(): boolean {
    return this.#abort.signal.aborted
  }

  /** Columns of the terminal; 80 without one. */
  get columns(): number {
    return this.#around.stdout.columns ?? 80
  }

  set command(name: string) {
    this.#name = `ibverbs ${name}`
  }

  /** Prints a line to standard output. */
  print(text = ''): void {
    if (!this.#unread) this.#out.write(`${text}\n`)
  }

  /** Prints a line to standard error, headed by the program's name, as is the custom. */
  complain(text: string): void {
    this.#errors.write(`${this.#name}: ${text}\n`)
  }

  /** Prints a line to standard error as it is: progress and totals that must not mix with the output. */
  note(text: string): void {
    this.#errors.write(`${text}\n`)
  }

  /** Writes raw bytes, such as a capture, to standard output. Resolves when the reader keeps up. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#unread || this.#out.write(bytes)) return
    await once(this.#out, 'drain', { signal: this.signal }).catch(() => {})
  }

  /**
   * Opens a queue. A filter may name hosts, and looking them up blocks the event loop: a signal then has the system's
   * default action.
   */
  opening<T>(filter: string | undefined, open: () => T): T {
    if (filter === undefined || this.interrupted) return open()
    for (const signal of signals) this.#around.off(signal, this.#interrupt)
    try {
      return open()
    } finally {
      for (const signal of signals) this.#around.once(signal, this.#interrupt)
    }
  }

  /**
   * The exit code, given the one that the command returned. A reader that left early is no failure of the command; an output
   * error is.
   */
  exitCode(code: number): number {
    if (this.#received) return 128 + constants.signals[this.#received]
    if (this.#failed) return ExitCode.failed
    return this.#unread ? 0 : code
  }

  /** Ends the run once all output is written; after a signal it does not wait for a reader that does not read. */
  async end(code: number): Promise<number> {
    const flush = (stream: Writable) =>
      new Promise<void>((resolve) => {
        // Nothing more to a file on a full disk: each write fails again.
        if (stream.writableLength > 0) stream.write('', () => resolve())
        else resolve()
      })
    // A failed write to a file emits its error in the event loop's next turn.
    await turn()
    await untilOrAbort(Promise.all([flush(this.#out), flush(this.#errors)]), this.signal)
    return this.exitCode(code)
  }

  /** Ends the run and the process. */
  async exit(code: number): Promise<never> {
    const exitCode = await this.end(code)
    // process.exit() joins libuv's threads, one of which may be looking up a name: then the signal itself ends the process.
    if (this.#received && process.getActiveResourcesInfo().some((name) => /^Get\w+InfoReqWrap$/.test(name))) {
      process.kill(process.pid, this.#received)
    }
    process.exit(exitCode)
  }

  #interrupt = (signal: NodeJS.Signals) => {
    this.#received ??= signal
    // All signals get their default action back: a second one ends the process at once.
    for (const each of signals) this.#around.off(each, this.#interrupt)
    this.#abort.abort()
  }

  #lost = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') {
      if (!this.#failed) this.complain(`standard output: ${error.message}`)
      this.#failed = true
    }
    this.#unread = true
    this.#abort.abort()
  }
}

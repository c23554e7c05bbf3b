/** One run of the program: its output, and what ends it early. */
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ExitCode } from './exit-code.js'
import { untilOrAbort } from './output.js'
import { makeStyle, type Style, wantsColour } from './style.js'
import { patient } from './terminal.js'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

type Stream = NodeJS.WriteStream & { fd: number }

/** What a run has around it: the process, or what stands for it where many runs share one. */
export interface Surroundings {
  readonly stdout: Stream
  readonly stderr: Stream
  readonly env: NodeJS.ProcessEnv
  once(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

/**
 * Output and interruption for a command. A signal, or a reader of standard output that has gone (`… | head`), aborts
 * {@link Session.signal}: the command then closes what it opened, prints what it has so far and returns.
 * A second signal kills the process in the system's own way.
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
    this.#out = patient(around.stdout)
    this.#errors = patient(around.stderr)
    this.style = makeStyle(wantsColour(around.stdout, around.env))
    for (const signal of signals) around.once(signal, this.#interrupt)
    this.#out.on('error', this.#lost)
    // Nothing is left to tell anybody when standard error is gone.
    this.#errors.on('error', () => {})
  }

  /** Aborts when the command is to end now. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether the command was told to end before it was done. */
  get interrupted(): boolean {
    return this.#abort.signal.aborted
  }

  /** Columns of the terminal; 80 where there is none. */
  get columns(): number {
    return this.#around.stdout.columns ?? 80
  }

  set command(name: string) {
    this.#name = `ibverbs ${name}`
  }

  /** A line to standard output. */
  print(text = ''): void {
    if (!this.#unread) this.#out.write(`${text}\n`)
  }

  /** A line to standard error, headed by the command's name, as is the custom. */
  complain(text: string): void {
    this.#errors.write(`${this.#name}: ${text}\n`)
  }

  /** A line to standard error as it is: progress and totals that must not mix with the output. */
  note(text: string): void {
    this.#errors.write(`${text}\n`)
  }

  /** Raw bytes to standard output, such as a capture. Resolves when the reader keeps up. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#unread || this.#out.write(bytes)) return
    await once(this.#out, 'drain', { signal: this.signal }).catch(() => {})
  }

  /**
   * Opens a queue. A filter may name hosts, and while they are looked up no event comes through: a signal then has the
   * system's own effect.
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
   * The exit code, given what the command returned. A reader that left early is no failure of the command; output that
   * could not be written is.
   */
  exitCode(code: number): number {
    if (this.#received) return 128 + constants.signals[this.#received]
    if (this.#failed) return ExitCode.failed
    return this.#unread ? 0 : code
  }

  /** Ends the run once all output is written; after a signal no reader is waited for that does not read. */
  async end(code: number): Promise<number> {
    const flush = (stream: Writable) =>
      new Promise<void>((resolve) => {
        // Nothing more to a file on a full disk: it would complain again.
        if (stream.writableLength > 0) stream.write('', () => resolve())
        else resolve()
      })
    // A file that cannot be written to says so in the event loop's next turn.
    await turn()
    await untilOrAbort(Promise.all([flush(this.#out), flush(this.#errors)]), this.signal)
    return this.exitCode(code)
  }

  /** Ends the run, and the process with it. */
  async exit(code: number): Promise<never> {
    const exitCode = await this.end(code)
    // process.exit() waits for libuv's threads, and one may be looking up a name: then the signal itself ends the process.
    if (this.#received && process.getActiveResourcesInfo().some((name) => /^Get\w+InfoReqWrap$/.test(name))) {
      process.kill(process.pid, this.#received)
    }
    process.exit(exitCode)
  }

  #interrupt = (signal: NodeJS.Signals) => {
    this.#received ??= signal
    // The others go back to their default too: whoever asks twice means it.
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

/** Runs the built command line as users do: as a process. */

import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type ChildProcess, spawn } from '../beds/child.js'

export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface Finished {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  input?: string | Buffer
  env?: NodeJS.ProcessEnv
  /** Leave standard input open: more may follow. */
  open?: boolean
}

/** The output of a run so far, and waits for more of it. */
export abstract class Output {
  stdout = ''
  stderr = ''
  readonly bytes: Buffer[] = []
  readonly #events = new EventEmitter()
  #end: Finished | undefined
  abstract readonly finished: Promise<Finished>

  protected add(stream: 'stdout' | 'stderr', part: Buffer): void {
    if (stream === 'stdout') this.bytes.push(part)
    this[stream] += part.toString()
    this.#events.emit('more')
  }

  protected ended(end: Finished, resolve: (end: Finished) => void): void {
    this.#end = end
    this.#events.emit('more')
    resolve(end)
  }

  /** Resolves once standard output or error matches; rejects when the run ends first. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout) && !pattern.test(this.stderr)) {
      if (this.#end) {
        const { code, stdout, stderr } = this.#end
        throw new Error(`ended with ${code} before ${pattern}: ${stdout}${stderr}`)
      }
      await once(this.#events, 'more')
    }
  }
}

/** A process whose output can be awaited. */
export class Running extends Output {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>

  constructor(command: string, args: readonly string[], { input, env, open = false }: RunOptions = {}) {
    super()
    const printed = () => `It printed: ${this.stdout}${this.stderr}`
    this.child = spawn(command, args, { env: { ...process.env, NO_COLOR: undefined, ...env }, printed })
    for (const stream of ['stdout', 'stderr'] as const) {
      this.child[stream]?.on('data', (part: Buffer) => this.add(stream, part))
    }
    this.child.stdin?.on('error', () => {})
    if (open) this.child.stdin?.write(input ?? '')
    else this.child.stdin?.end(input)
    this.finished = once(this.child, 'close').then(
      ([code, signal]) =>
        new Promise((resolve) => {
          this.ended({ code, signal, stdout: this.stdout, stderr: this.stderr }, resolve)
        }),
    )
  }
}

export function start(args: readonly string[], options?: RunOptions): Running {
  return new Running(process.execPath, [main, ...args], options)
}

export function ibverbs(args: readonly string[], options?: RunOptions): Promise<Finished> {
  return start(args, options).finished
}

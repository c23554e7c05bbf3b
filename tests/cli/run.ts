/** Runs the built command line as its users do: as a process. */

import { once } from 'node:events'
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
  /** Leave standard input open: there might come more. */
  open?: boolean
}

/** A process whose output can be waited for. */
export class Running {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly bytes: Buffer[] = []
  readonly finished: Promise<Finished>

  constructor(command: string, args: readonly string[], { input, env, open = false }: RunOptions = {}) {
    this.child = spawn(command, args, { env: { ...process.env, NO_COLOR: undefined, ...env } })
    this.child.stdout?.on('data', (part: Buffer) => {
      this.bytes.push(part)
      this.stdout += part.toString()
    })
    this.child.stderr?.on('data', (part: Buffer) => {
      this.stderr += part.toString()
    })
    this.child.stdin?.on('error', () => {})
    if (open) this.child.stdin?.write(input ?? '')
    else this.child.stdin?.end(input)
    this.finished = once(this.child, 'close').then(([code, signal]) => ({
      code,
      signal,
      stdout: this.stdout,
      stderr: this.stderr,
    }))
  }

  /** Resolves once standard output and error together match; rejects when the process ends before they do. */
  async until(pattern: RegExp): Promise<void> {
    for (;;) {
      if (pattern.test(this.stdout) || pattern.test(this.stderr)) return
      const more = Promise.race([
        once(this.child.stdout as NodeJS.ReadableStream, 'data'),
        once(this.child.stderr as NodeJS.ReadableStream, 'data'),
        this.finished.then(({ code, stdout, stderr }) => {
          if (pattern.test(stdout) || pattern.test(stderr)) return
          throw new Error(`ended with ${code} before ${pattern}: ${stdout}${stderr}`)
        }),
      ])
      await more
    }
  }
}

export function start(args: readonly string[], options?: RunOptions): Running {
  return new Running(process.execPath, [main, ...args], options)
}

export function ibverbs(args: readonly string[], options?: RunOptions): Promise<Finished> {
  return start(args, options).finished
}

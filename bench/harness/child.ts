import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

/**
 * A child process that answers each line of input with one line: a C peer, a Python script, or the other end of a pair in
 * Node. It prints `ready` (or `ready JSON`) first, and ends with its input.
 */
export class LineChild {
  readonly #name: string
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: string[] = []
  readonly #exited: Promise<unknown>
  #waiting: { resolve(line: string): void; reject(error: Error): void } | null = null
  #ended: Error | null = null
  #stderr = ''
  #closing = false

  constructor(command: string, args: readonly string[]) {
    this.#name = command.split('/').at(-1)!
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#exited = once(this.#process, 'close').catch(() => {})
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4096)
    })
    // 'close' reports why the pipe broke.
    this.#process.stdin.on('error', () => {})
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const waiting = this.#waiting
      this.#waiting = null
      if (waiting) waiting.resolve(line)
      else this.#lines.push(line)
    })
    this.#process.on('error', (error) => this.#end(error))
    this.#process.on('close', (code, signal) => {
      this.#end(
        new Error(`${this.#name} ended with ${signal ?? `exit code ${code}`}: ${this.#stderr.trim()}`),
      )
    })
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#waiting?.reject(this.#ended)
    this.#waiting = null
  }

  /** Its process id; undefined if it did not start. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  /** The next line of output. */
  line(): Promise<string> {
    if (this.#lines.length > 0) return Promise.resolve(this.#lines.shift()!)
    if (this.#ended) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  /** Waits for `ready`; returns what follows it. */
  async ready(): Promise<string> {
    const line = await this.line()
    if (!/^ready\b/.test(line)) throw new Error(`${this.#name} began with ${line}`)
    return line.slice('ready'.length).trim()
  }

  /** Sends a line; read the answer with {@link line}. */
  send(line: string): void {
    this.#process.stdin.write(`${line}\n`)
  }

  /** Sends a line and returns the answer, a JSON array of numbers. */
  async request(line: string): Promise<number[]> {
    this.send(line)
    return JSON.parse(await this.line())
  }

  /** Ends the child's input and waits for its exit; a failure's exit code is an error. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    this.#process.stdin.end()
    const overdue = setTimeout(() => this.#process.kill('SIGKILL'), 10_000)
    await this.#exited
    clearTimeout(overdue)
    if (this.#process.exitCode !== 0) throw this.#ended!
  }
}

/** Starts a child and waits until it is ready for requests. */
export async function startChild(command: string, args: readonly string[]): Promise<LineChild> {
  const child = new LineChild(command, args)
  try {
    await child.ready()
  } catch (error) {
    await child.close().catch(() => {}) // the error that matters is why it did not start
    throw error
  }
  return child
}

import { type ChildProcessByStdio, execFileSync, type spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/** DPDK's drivers for interfaces of the kernel. */
export type Driver = 'net_af_packet' | 'net_af_xdp'

export interface TestpmdOptions {
  /** spawn of node:child_process, or tests/beds/child.ts, which ends the process with the test. */
  spawn: typeof spawn
  /** {@link installedTestpmd}. */
  command: string
  /** EAL's words for the processors. */
  cores: readonly string[]
  driver: Driver
  /** Its ports have the same order. */
  interfaces: readonly string[]
  /** Forwarding mode: io, macswap, rxonly, txonly. */
  mode: string
  /** More words of testpmd itself. */
  words?: readonly string[]
}

const prompt = 'testpmd> '

/** Path of DPDK's packet forwarder (package dpdk-dev), if it is installed. */
export function installedTestpmd(): string | undefined {
  for (const name of ['dpdk-testpmd', 'testpmd']) {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    } catch {
      // try the next one
    }
  }
  return undefined
}

/** testpmd's command line: a line in, an answer and a prompt out. */
export class Testpmd implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #folder: string
  #output = ''
  #ended: Error | undefined
  #arrived: (() => void) | undefined

  /** Starts it, and waits for its first prompt. */
  static async start(options: TestpmdOptions): Promise<Testpmd> {
    const testpmd = new Testpmd(options)
    try {
      await testpmd.#answer()
    } catch (error) {
      await testpmd[Symbol.asyncDispose]()
      throw error
    }
    return testpmd
  }

  private constructor({ spawn, command, cores, driver, interfaces, mode, words = [] }: TestpmdOptions) {
    // Without a folder of its own, DPDK leaves an empty one in /run.
    this.#folder = mkdtempSync(join(tmpdir(), 'ibverbs-testpmd-'))
    const env = { ...process.env, RUNTIME_DIRECTORY: this.#folder }
    const all = [
      ...[...cores, '--no-huge', '-m', '512', '--no-shconf', '--no-pci', '--no-telemetry'],
      ...interfaces.map((name, i) => `--vdev=${driver}${i},iface=${name}`),
      ...['--', '-i', '--total-num-mbufs=16384', `--forward-mode=${mode}`],
      ...['--no-mlockall', '--no-lsc-interrupt', ...words],
    ]
    // Into a pipe, testpmd would write its answers in blocks of 4 KiB.
    this.#process = spawn('stdbuf', ['-oL', command, ...all], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    const add = (chunk: Buffer) => {
      this.#output += chunk.toString()
      this.#arrived?.()
    }
    this.#process.stdout.on('data', add)
    this.#process.stderr.on('data', add)
    this.#process.stdin.on('error', () => {})
    this.#process.on('error', (error) => this.#end(error))
    this.#process.on('close', (code, signal) => {
      const how = signal ?? `exit code ${code}`
      this.#end(new Error(`testpmd ended with ${how}: ${this.#output.slice(-2000)}`))
    })
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#arrived?.()
  }

  /** Its output up to the next prompt. */
  async #answer(): Promise<string> {
    for (;;) {
      const at = this.#output.indexOf(prompt)
      if (at >= 0) {
        const text = this.#output.slice(0, at)
        this.#output = this.#output.slice(at + prompt.length)
        return text
      }
      if (this.#ended) throw this.#ended
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
  }

  /** Sends a line and returns the answer. */
  command(line: string): Promise<string> {
    this.#process.stdin.write(`${line}\n`)
    return this.#answer()
  }

  /** testpmd's own counters of a port. */
  async statistics(port: number): Promise<{ received: number; transmitted: number; missed: number }> {
    const text = await this.command(`show port stats ${port}`)
    const number = (name: string) => Number(new RegExp(`${name}: *(\\d+)`).exec(text)?.[1])
    return {
      received: number('RX-packets'),
      transmitted: number('TX-packets'),
      missed: number('RX-missed'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      const closed = once(this.#process, 'close')
      this.#process.stdin.end('stop\nquit\n')
      const overdue = setTimeout(() => this.#process.kill('SIGKILL'), 15_000)
      await closed
      clearTimeout(overdue)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** DPDK's testpmd (package dpdk-dev) on the kernel's interfaces, with its drivers net_af_packet and net_af_xdp. */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChildProcess, execFileSync, spawn } from './child.js'

const prompt = 'testpmd> '

export type Driver = 'net_af_packet' | 'net_af_xdp'

export class Testpmd implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #folder: string
  #output = ''
  #ended: Error | undefined
  #arrived: (() => void) | undefined

  /** Starts it on these interfaces; its ports have the same order. */
  static async start(driver: Driver, interfaces: readonly string[], mode: string): Promise<Testpmd> {
    try {
      execFileSync('sh', ['-c', 'command -v dpdk-testpmd'])
    } catch {
      throw new Error('dpdk-testpmd is missing: apt-get install --no-install-recommends dpdk')
    }
    const testpmd = new Testpmd([
      ...['-l', '0,1', '--no-huge', '-m', '512', '--no-shconf', '--no-pci', '--no-telemetry'],
      ...interfaces.map((name, i) => `--vdev=${driver}${i},iface=${name}`),
      ...[
        '--',
        '-i',
        '--total-num-mbufs=16384',
        `--forward-mode=${mode}`,
        '--no-mlockall',
        '--no-lsc-interrupt',
      ],
    ])
    await testpmd.#answer()
    return testpmd
  }

  private constructor(words: readonly string[]) {
    // Without a folder of its own, DPDK leaves an empty one in /run.
    this.#folder = mkdtempSync(join(tmpdir(), 'ibverbs-testpmd-'))
    const env = { ...process.env, RUNTIME_DIRECTORY: this.#folder }
    // Into a pipe, testpmd would write its answers in blocks of 4 KiB.
    this.#process = spawn('stdbuf', ['-oL', 'dpdk-testpmd', ...words], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const add = (chunk: Buffer) => {
      this.#output += chunk.toString()
      this.#arrived?.()
    }
    this.#process.stdout!.on('data', add)
    this.#process.stderr!.on('data', add)
    this.#process.stdin!.on('error', () => {})
    this.#process.on('error', (error) => this.#end(error))
    this.#process.on('close', (code, signal) => {
      this.#end(new Error(`testpmd ended with ${signal ?? code}: ${this.#output.slice(-2000)}`))
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
    this.#process.stdin!.write(`${line}\n`)
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
      this.#process.stdin!.end('stop\nquit\n')
      const overdue = setTimeout(() => this.#process.kill('SIGKILL'), 15_000)
      await closed
      clearTimeout(overdue)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

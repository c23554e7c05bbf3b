import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '../bench.js'
import type { Side } from '../compare.js'
import { cPeer, type FrameParameters, type Operation, processors } from './sides.js'
import { giveWire, receivedBy, takeWire } from './wires.js'

/** Path of DPDK's packet forwarder, if it is installed. */
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

const milliseconds = 40
const prompt = 'testpmd> '
const modes: Record<string, string> = { tx: 'txonly', rx: 'rxonly', forward: 'io' }

/** testpmd's command line: a line in, an answer and a prompt out. */
class Testpmd {
  readonly #process
  /** Without a folder of its own, DPDK leaves an empty one in /run. */
  readonly #folder: string
  #output = ''
  #ended: Error | undefined
  #arrived: (() => void) | undefined

  constructor(command: string, args: readonly string[]) {
    this.#folder = mkdtempSync(join(tmpdir(), 'ibverbs-testpmd-'))
    const env = { ...process.env, RUNTIME_DIRECTORY: this.#folder }
    // Into a pipe, testpmd would write its figures in blocks of 4 KiB.
    this.#process = spawn('stdbuf', ['-oL', command, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    const add = (chunk: Buffer) => {
      this.#output += chunk.toString()
      this.#arrived?.()
    }
    this.#process.stdout.on('data', add)
    this.#process.stderr.on('data', add)
    this.#process.stdin.on('error', () => {})
    this.#process.on('error', (error) => this.#end(error))
    this.#process.on('close', (code, signal) => {
      this.#end(
        new Error(`testpmd ended with ${signal ?? `exit code ${code}`}: ${this.#output.slice(-1000)}`),
      )
    })
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#arrived?.()
  }

  /** Its output up to the next prompt. */
  async answer(): Promise<string> {
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

  async command(line: string): Promise<string> {
    this.#process.stdin.write(`${line}\n`)
    return this.answer()
  }

  async close(): Promise<void> {
    if (!this.#ended) {
      const closed = once(this.#process, 'close')
      this.#process.stdin.end('quit\n')
      const overdue = setTimeout(() => this.#process.kill('SIGKILL'), 10_000)
      await closed
      clearTimeout(overdue)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/**
 * testpmd with net_af_packet or net_af_xdp, in the setup of frameSide: it forwards on the contender's processor; the sender
 * and testpmd's command line run on the other. It runs for a while; the interface (tx, forward) or testpmd itself (rx)
 * counts the frames.
 */
export async function testpmdSide(
  session: Session,
  command: string,
  parameters: FrameParameters,
  operation: Operation,
): Promise<Side> {
  const { backend, size, batch } = parameters
  const [cpu, otherCpu] = processors()
  const wires = [takeWire(), takeWire()]
  const [incoming, outgoing] = wires
  const ports =
    operation === 'tx' ? [outgoing.a] : operation === 'rx' ? [incoming.b] : [incoming.b, outgoing.a]
  const device = (name: string, i: number) =>
    backend === 'af_xdp' ? `net_af_xdp${i},iface=${name}` : `net_af_packet${i},iface=${name}`
  const testpmd = new Testpmd(command, [
    ...['--lcores', `1@${otherCpu},0@${cpu}`, '--main-lcore', '1', '--no-huge', '-m', '512', '--no-shconf'],
    ...['--no-pci', '--no-telemetry', ...ports.map((name, i) => `--vdev=${device(name, i)}`), '--', '-i'],
    ...['--total-num-mbufs=16384', `--burst=${batch}`, `--forward-mode=${modes[operation]}`],
    ...['--txpkts', String(size), '--no-mlockall', '--no-lsc-interrupt'],
  ])
  const closers: (() => Promise<void>)[] = [() => testpmd.close()]
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
    for (const wire of wires) giveWire(wire)
  }
  try {
    await testpmd.answer()
    const target = { out: incoming.a, to: incoming.macB }
    const sender =
      operation === 'tx'
        ? undefined
        : await cPeer(session)({ backend: 'af_xdp', size, batch: 64 }, target, otherCpu)
    if (sender) closers.push(() => sender.close())
    const counted = async () => {
      if (operation !== 'rx') return receivedBy(outgoing.b)
      const text = await testpmd.command('show port stats 0')
      return Number(/RX-packets: *(\d+)/.exec(text)?.[1])
    }
    return {
      async run() {
        await testpmd.command('start')
        sender?.send('flood 0 0')
        await delay(milliseconds / 2)
        const before = await counted()
        const begin = performance.now()
        let after = before
        let end = begin
        // One look, unless another process has its processor.
        for (let looks = 0; after === before && looks < 50; looks++) {
          await delay(milliseconds)
          after = await counted()
          end = performance.now()
        }
        await sender?.request('stop')
        await testpmd.command('stop')
        return [((after - before) * 1000) / (end - begin)]
      },
      close,
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

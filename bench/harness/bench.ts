import { type Comparison, compare, type Row } from './compare.js'
import { jsonLine, table } from './report.js'

/** The default export of a file bench/DOMAIN/NAME.ts, whose first comment is its line in the list. */
export interface Bench {
  /**
   * Where it runs: `rdma` on the RDMA devices that the user names, else in the VM on rxe0 and rxe1; `veth` in a temporary
   * network namespace; `host` on this machine as it is.
   */
  bed: 'rdma' | 'veth' | 'host'
  /** The C programs of bench/peers that it compares with, without `.c`. */
  peers?: readonly string[]
  run(session: Session): Promise<void>
}

/** Options from the command line. */
export interface SessionOptions {
  /** Name of the benchmark, as in the list. */
  name: string
  /** Alternating rounds of each comparison, at least 20. */
  rounds: number
  json: boolean
  /** Only comparisons with a case whose name contains this. */
  only?: string
  /** For the bed `rdma`: the devices of the two ends. */
  devices?: readonly [string, string]
  /** Folder of their sources, and of the Python peers. */
  peerFolder: string
  /** Folder of their sources, and of the Python peers. */
  peerSources: string
}

/** One run of one benchmark: collects the rows, prints them, and records failures. */
export class Session {
  readonly options: SessionOptions
  readonly #rows: Row[] = []
  #failures = 0

  constructor(options: SessionOptions) {
    this.options = options
  }

  /** The device names of the two ends. */
  get devices(): readonly [string, string] {
    if (!this.options.devices) throw new Error(`${this.options.name} needs RDMA devices, and none was named`)
    return this.options.devices
  }

  /** Path of a C peer. */
  peer(name: string): string {
    return `${this.options.peerFolder}/${name}`
  }

  /** Path of a file of bench/peers. */
  peerSource(file: string): string {
    return `${this.options.peerSources}/${file}`
  }

  /** Prints a remark for the user on stderr, because stdout is the result. */
  note(text: string): void {
    process.stderr.write(`${this.options.name}: ${text}\n`)
  }

  /** Measures a comparison. If it fails, it is reported, the rest still runs, and the exit code says so. */
  async compare(comparison: Comparison): Promise<void> {
    const { only, rounds, json } = this.options
    if (only !== undefined && !comparison.metrics.some((metric) => metric.case.includes(only))) return
    this.note(`${comparison.metrics[0].case} against ${comparison.peer} …`)
    try {
      for (const row of await compare(comparison, rounds)) {
        this.#rows.push(row)
        if (json) process.stdout.write(`${jsonLine(row)}\n`)
      }
    } catch (error) {
      this.#failures++
      this.note(`FAILED: ${comparison.metrics[0].case} against ${comparison.peer}: ${message(error)}`)
    }
  }

  /** Prints the table and returns the exit code: 0 only if every side of every comparison ran. */
  finish(): number {
    if (!this.options.json && this.#rows.length > 0) process.stdout.write(`${table(this.#rows).join('\n')}\n`)
    if (this.#failures > 0) this.note(`${this.#failures} comparison(s) failed`)
    else if (this.#rows.length === 0) this.note('nothing was compared')
    return this.#failures === 0 && this.#rows.length > 0 ? 0 : 1
  }
}

/** Runs a benchmark and returns its exit code. */
export async function runBench(bench: Bench, options: SessionOptions): Promise<number> {
  const session = new Session(options)
  await bench.run(session)
  return session.finish()
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

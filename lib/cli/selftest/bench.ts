/** What checks work with: an open device, which is closed with everything on it when they are done. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type CompletionQueue,
  type Context,
  open,
  type ProtectionDomain,
  type QueuePair,
} from '../../index.js'
import { createCompletionQueue, createQueuePair, direct } from '../../mlx5/index.js'
import { assertTrue, Mismatch } from './mismatch.js'

/** Milliseconds for a device to answer what is sent to itself. */
const patience = 2000

/** A check that has nothing to check here, and why. */
export class Skip extends Error {}

/** A completion, copied. */
export interface Completion {
  cookie: number
  status: string
  byteLength: number
  immediate: number
  flags: number
}

export class Bench {
  readonly device: string
  readonly port: number
  readonly context: Context
  readonly signal: AbortSignal
  #open: Disposable[] = []

  /** @throws VerbsError */
  constructor(device: string, port: number, signal: AbortSignal) {
    this.device = device
    this.port = port
    this.signal = signal
    this.context = open(device)
  }

  /** A protection domain that goes with the check. */
  domain(): ProtectionDomain {
    return this.closing(this.context.allocateProtectionDomain())
  }

  /** Closes it after the check, the newest first. */
  closing<T extends Disposable>(handle: T): T {
    this.#open.push(handle)
    return handle
  }

  /** After a check. */
  tidy(): void {
    for (const handle of this.#open.reverse()) handle[Symbol.dispose]()
    this.#open = []
  }

  close(): void {
    this.tidy()
    this.context.close()
  }

  /** A connection to itself. */
  connected(type: 'RC' | 'UC', options: { timestamps?: boolean } = {}) {
    const domain = this.domain()
    const cq = this.closing(this.context.createCompletionQueue(256, options))
    const pair = this.closing(
      domain.createQueuePair({
        ...{ type, cq, port: this.port, maxSendWr: 16, maxReceiveWr: 16 },
        ...{ maxSendSge: 2, maxReceiveSge: 2, maxInline: 64 },
      }),
    )
    this.#connect(pair)
    return { domain, cq, pair }
  }

  /** Two ends of a connection; the first, and its completion queue. */
  joined() {
    const domain = this.domain()
    const cqs = [0, 1].map(() => this.closing(this.context.createCompletionQueue(64)))
    const sizes = { maxSendWr: 8, maxReceiveWr: 8 }
    const [pair, other] = cqs.map((cq) =>
      this.closing(domain.createQueuePair({ type: 'RC', cq, port: this.port, ...sizes })),
    )
    this.#connect(pair, other)
    this.#connect(other, pair)
    return { domain, cq: cqs[0], pair }
  }

  #connect(pair: QueuePair, other = pair): void {
    pair.connect(other.endpoint, { pathMtu: Math.min(1024, this.context.queryPort(this.port).activeMtu) })
  }

  /** A connection to itself whose rings are ours. */
  direct(type: 'RC' | 'UC') {
    const domain = this.domain()
    const cq = this.closing(createCompletionQueue(domain, 64))
    const sizes = { maxSendWr: 8, maxReceiveWr: 8, maxInline: 28 }
    const pair = this.closing(createQueuePair(domain, { type, cq, port: this.port, ...sizes }))
    this.#connect(pair)
    return { domain, cq: direct(cq), rings: direct(pair) }
  }

  /** The next completions. @throws Mismatch when they do not come in time */
  async completions(cq: CompletionQueue, count: number, what: string): Promise<Completion[]> {
    const completions: Completion[] = []
    const time = AbortSignal.timeout(patience)
    while (completions.length < count) {
      let n: number
      try {
        n = await cq.wait({ signal: AbortSignal.any([this.signal, time]) })
      } catch (error) {
        this.signal.throwIfAborted()
        if (!time.aborted) throw error
        throw new Mismatch(
          `${what}: ${completions.length} of ${count} completions came within ${patience / 1000} s: does the device send to itself?`,
        )
      }
      for (let i = 0; i < n; i++) {
        completions.push({
          ...{ cookie: cq.cookie[i], status: cq.statusName(i), byteLength: cq.byteLength[i] },
          ...{ immediate: cq.immediate[i], flags: cq.flags[i] },
        })
      }
    }
    return completions
  }

  /** Waits until it is so. @throws Mismatch when it is not in time */
  async until(what: string, condition: () => boolean): Promise<void> {
    const end = performance.now() + patience
    while (!condition()) {
      this.signal.throwIfAborted()
      assertTrue(
        `${what} within ${patience / 1000} s: does the device send to itself?`,
        performance.now() < end,
      )
      await delay(1)
    }
  }

  /** @throws Mismatch when it does not settle in time */
  async inTime<T>(what: string, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const time = AbortSignal.timeout(patience)
    try {
      return await start(AbortSignal.any([this.signal, time]))
    } catch (error) {
      this.signal.throwIfAborted()
      if (time.aborted) throw new Mismatch(`${what} within ${patience / 1000} s`)
      throw error
    }
  }
}

/** Bytes that say by their value where they belong. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167 + seed * 29 + (i >> 8)) & 0xff)
}

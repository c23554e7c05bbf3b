/**
 * The ping-pong itself, for either end, with the protocol of rdma-core's programs, so that either end may be one of them.
 */
import type { CompletionQueue, QueuePair } from '../../index.js'
import { Samples } from '../../lab/percentiles.js'
import { Yielder } from '../yielder.js'

/** Cookies of the two kinds of request. */
const RECEIVE = 1
const SEND = 2

/** Places in the ping-pong's times. */
const [postedAt, now] = [0, 1]

/** Reads the device's clock at a completion of the last poll, in microseconds from some beginning. */
export type Stamp = (row: number) => number

/** Polls between two clock readings. */
const pollsPerClockReading = 64

/** A request that can be posted: the library's prepared request. */
export interface Postable {
  post(cookie: number, offset: number, length: number): number
}

export interface LoopOptions {
  queuePair: QueuePair
  completionQueue: CompletionQueue
  receive: Postable
  /** Offsets of the message to send and of the received one, in the regions of the two requests. */
  sendOffset: number
  receiveOffset: number
  /** Bytes of a message, and of a receive buffer. */
  size: number
  receiveSize: number
  /** Number of receive requests kept posted. */
  depth: number
  iterations: number
  /** Messages received before recording starts. */
  warmup: number
  /** The client sends first. */
  client: boolean
  /** Sleep on the completion channel instead of polling. */
  events: boolean
  /** Milliseconds for which the peer may be silent. */
  timeout: number
  /** Milliseconds between two turns of the event loop while it polls. */
  yieldInterval: number
  /** Whose clock says when a message arrived; without it this program's, when it has seen its completion. */
  stamp?: Stamp
  signal: AbortSignal
}

export interface LoopResult {
  /**
   * Round trips in microseconds, from one arrival, which the next message answers, to the next, as in ib_send_lat. By the
   * device's clock they begin and end with the completions of receives, and the first message has none before it.
   */
  samples: Samples
  sent: number
  received: number
  /** From the first message to the last, in milliseconds. */
  elapsed: number
  /** Why the exchange ended early; undefined when it was complete, or the signal interrupted it. */
  failure?: string
}

/** Posts the receives that must be there before the peer may send. */
export class PingPong {
  /** The message; set once the peer's address is known. */
  send: Postable | undefined
  readonly #options: LoopOptions
  readonly #samples: Samples
  /** Receives posted and not completed. */
  #posted = 0
  #sent = 0
  #received = 0
  // This end's turn begins when the peer has answered and its own last message has completed.
  #answered = false
  #completed = true
  /** When the last message was sent, and when one last arrived: no number on the heap for each message. */
  readonly #times = new Float64Array(2)
  /** By the device's clock: when a message last arrived. */
  readonly #arrival = new Float64Array(1).fill(Number.NaN)
  #failure: string | undefined

  constructor(options: LoopOptions) {
    this.#options = options
    this.#samples = new Samples(options.iterations)
    this.#postReceives()
  }

  #postReceives(): void {
    const { receive, receiveOffset, receiveSize, depth, queuePair } = this.#options
    const first = this.#posted
    while (this.#posted < depth && receive.post(RECEIVE, receiveOffset, receiveSize) === 0) this.#posted++
    const wanted = this.#posted - first
    const accepted = queuePair.submit()
    if (this.#posted < depth || accepted < wanted) {
      throw queuePair.error ?? new Error(`only ${first + accepted} of ${depth} receives could be posted`)
    }
  }

  #postSend(): void {
    const { sendOffset, size, queuePair } = this.#options
    if (this.send?.post(SEND, sendOffset, size) !== 0 || queuePair.submit() !== 1) {
      throw queuePair.error ?? new Error('the message could not be posted')
    }
  }

  /** Runs until all iterations are done, the peer is silent for too long, a completion fails, or the signal aborts. */
  async run(): Promise<LoopResult> {
    const { completionQueue: cq, client, events, timeout, yieldInterval, signal } = this.#options
    const begin = performance.now()
    this.#times[now] = begin
    // One timer and one signal for the whole run: a wait for each message must not cost an AbortSignal each.
    const silence = new Silence(timeout, signal)
    const yielder = new Yielder(yieldInterval)
    try {
      if (client) this.#answer()
      while (this.#unfinished && !silence.signal.aborted) {
        let due = false
        if (events) this.#take(cq.poll() || (await sleep(cq, silence.signal)))
        else due = this.#spin(yielder)
        silence.broken(this.#times[now])
        if (due) await yielder.yield()
      }
    } finally {
      silence.end()
    }
    if (silence.tooLong) this.#failure ??= silent(timeout, this.#sent, this.#received)
    return {
      samples: this.#samples,
      sent: this.#sent,
      received: this.#received,
      elapsed: this.#times[now] - begin,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    }
  }

  get #unfinished(): boolean {
    const { iterations } = this.#options
    return (this.#sent < iterations || this.#received < iterations) && this.#failure === undefined
  }

  /**
   * Polls and answers until the exchange ends, or the event loop is due: then true. V8 optimises this function as a whole;
   * of an async one, each `await` goes on in slow code.
   */
  #spin(yielder: Yielder): boolean {
    const cq = this.#options.completionQueue
    let polls = 0
    do {
      const n = cq.poll()
      if (n > 0) this.#take(n)
      // Reading the clock costs more than an empty poll.
      if (++polls % pollsPerClockReading === 0 && yielder.due(performance.now())) return true
    } while (this.#unfinished)
    return false
  }

  /** Takes the completions of the last poll, and answers. */
  #take(n: number): void {
    if (n === 0) return
    const { completionQueue: cq, iterations, warmup, stamp } = this.#options
    const times = this.#times
    for (let i = 0; i < n; i++) {
      if (cq.status[i] !== 0) {
        this.#failure = failed(cq, i)
        return
      }
      if (cq.cookie[i] === SEND) {
        this.#sent++
        this.#completed = true
      } else {
        times[now] = performance.now()
        if (stamp) this.#stamped(stamp(i))
        // The server's first message arrives before it has sent one: no round trip yet.
        else if (times[postedAt] > 0 && this.#received >= warmup)
          this.#samples.record((times[now] - times[postedAt]) * 1000)
        this.#received++
        this.#answered = true
        if (--this.#posted <= 1) this.#postReceives()
      }
      if (this.#answered && this.#completed && this.#sent < iterations) this.#answer()
    }
  }

  /** An arrival by the device's clock. */
  #stamped(at: number): void {
    const before = this.#arrival[0]
    this.#arrival[0] = at
    if (!Number.isNaN(before) && this.#received >= this.#options.warmup) this.#samples.record(at - before)
  }

  /** Sends a message. Its time is that of the last arrival, which it answers. */
  #answer(): void {
    this.#times[postedAt] = this.#times[now]
    this.#postSend()
    this.#answered = false
    this.#completed = false
  }
}

/** Watches for how long nothing has arrived. */
class Silence {
  readonly #controller = new AbortController()
  readonly #timeout: number
  readonly #outer: AbortSignal
  #last = performance.now()
  #timer: NodeJS.Timeout
  /** Whether the silence exceeded the timeout. */
  tooLong = false

  constructor(timeout: number, outer: AbortSignal) {
    this.#timeout = timeout
    this.#outer = outer
    this.#timer = setTimeout(this.#check, timeout)
    outer.addEventListener('abort', this.#stop)
    if (outer.aborted) this.#stop()
  }

  /** Aborts when the silence exceeds the timeout, or when the outer signal aborts. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Call it on each arrival. */
  broken(now: number): void {
    this.#last = now
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#outer.removeEventListener('abort', this.#stop)
  }

  #stop = () => this.#controller.abort()

  #check = () => {
    const left = this.#last + this.#timeout - performance.now()
    if (left > 0) {
      this.#timer = setTimeout(this.#check, left)
      return
    }
    this.tooLong = true
    this.#stop()
  }
}

async function sleep(cq: CompletionQueue, signal: AbortSignal): Promise<number> {
  try {
    return await cq.wait({ signal })
  } catch (error) {
    if (signal.aborted) return 0
    throw error
  }
}

function silent(timeout: number, sent: number, received: number): string {
  return (
    `no message from the peer for ${timeout / 1000} s, after ${sent} sent and ${received} received: ` +
    'it has ended, it was given another -n, or a message was lost (UC and UD do not send again)'
  )
}

function failed(cq: CompletionQueue, i: number): string {
  const status = cq.statusName(i)
  const hint = hints[status] ?? cq.statusHint(i)
  const what = cq.cookie[i] === SEND ? 'send' : 'receive'
  return `the ${what} failed with ${status} (vendor error 0x${cq.vendorError[i].toString(16)})${hint ? `: ${hint}` : ''}`
}

const otherSize = 'give both sides the same -s'
/** What a status means here (ibv_poll_cq(3)). Devices differ in their status for a message larger than its buffer. */
const hints: Readonly<Record<string, string>> = {
  LOC_LEN_ERR: `the peer's message is too large: ${otherSize}`,
  LOC_QP_OP_ERR: `the peer's message is too large: ${otherSize}`,
  REM_INV_REQ_ERR: `the message is too large for the peer: ${otherSize}`,
  REM_OP_ERR: `the message is too large for the peer: ${otherSize}`,
}

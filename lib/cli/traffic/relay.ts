/** What `forward` and `reflect` have in common: frames in here, out there, awake while there is something to do. */

import { setTimeout as delay } from 'node:timers/promises'
import type { PacketQueue } from '../../ethernet/index.js'
import { Breath } from '../breath.js'

/** Milliseconds without a frame after which the program sleeps until one comes. */
const patience = 0.2
/** Empty looks between two looks at the clock. */
const looksPerClock = 16

/** Of FrameFlag and of a VLAN tag: numbers, so that this needs no addon before it runs. */
const truncated = 1
const tagLength = 4

/** One direction. */
export class Relay {
  frames = 0
  bytes = 0
  /** Received, and not sent on because the way asked for says so. */
  ignored = 0
  /** Longer than a frame of ours, so that not all of it came: not sent on. */
  cut = 0
  readonly from: PacketQueue
  readonly to: PacketQueue
  readonly #change: (memory: Uint8Array, at: number, end: number) => boolean

  /**
   * @param to a queue on the same frames
   * @param change what is to be done with a frame; false: it is not sent on
   */
  constructor(
    from: PacketQueue,
    to: PacketQueue,
    change: (memory: Uint8Array, at: number, end: number) => boolean,
  ) {
    this.from = from
    this.to = to
    this.#change = change
  }

  /** Moves the frames that are there, at most a batch of them; gives how many came. */
  move(): number {
    const { from, to } = this
    const n = from.receive()
    for (let i = 0; i < n; i++) {
      const slot = from.slot(i)
      const length = from.length(slot)
      const at = from.offset(slot)
      if ((from.flags(slot) & truncated) !== 0) {
        this.cut++
        from.release(slot)
      } else if (this.#change(from.memory, at, at + length)) {
        this.frames++
        this.bytes += length + (from.vlan(slot) === 0 ? 0 : tagLength)
        to.forward(slot)
      } else {
        this.ignored++
        from.release(slot)
      }
    }
    if (to.pending > 0) {
      to.submit()
      // A frame that is refused for its own sake is counted, and the next one's turn comes; a dead interface is the end.
      if (to.error && fatal.includes(to.error.code)) throw to.error
    }
    return n
  }
}

/**
 * Errors of the interface, not of a frame. One that goes down ends its reception; one that has lost its carrier may find it
 * again, and meanwhile what is to go out waits, as in a device's own ring.
 */
const fatal: readonly string[] = ['ENODEV', 'ENXIO', 'EPERM', 'EBADF']

export interface RelayOptions {
  signal: AbortSignal
  /** Never sleep: look for frames all the time. */
  busy: boolean
  /** Called now and then, with the time of `performance.now()`. */
  look(now: number): void
}

/** Moves frames until the signal aborts. */
export async function relay(relays: readonly Relay[], options: RelayOptions): Promise<void> {
  const { signal, busy, look } = options
  const breath = new Breath()
  const queues = [...new Set(relays.map(({ from }) => from))]
  const sleepers = queues.map((queue) => new Sleeper(queue, signal))
  let last = performance.now()
  for (let empty = 0; !signal.aborted; ) {
    let moved = 0
    for (const each of relays) moved += each.move()
    if (moved === 0 && ++empty % looksPerClock !== 0) continue
    const now = performance.now()
    if (moved > 0) {
      last = now
      empty = 0
    }
    look(now)
    if (!busy && now - last > patience) {
      if (relays.some(({ to }) => to.error !== null)) await delay(1)
      else if (relays.some(({ to }) => to.pending > 0)) await breath.take()
      else await sleep(sleepers, look)
      last = performance.now()
    } else if (breath.due(now)) await breath.take()
  }
}

/** The live line goes on while nothing comes. */
const lookEvery = 500

async function sleep(sleepers: readonly Sleeper[], look: (now: number) => void): Promise<void> {
  const timer = setInterval(() => look(performance.now()), lookEvery)
  try {
    await Promise.race(sleepers.map((sleeper) => sleeper.wait()))
  } finally {
    clearInterval(timer)
  }
}

/** A queue that is waited on together with others: its wait goes on when another's has ended. */
class Sleeper {
  readonly #queue: PacketQueue
  readonly #signal: AbortSignal
  #waiting: Promise<unknown> | undefined

  constructor(queue: PacketQueue, signal: AbortSignal) {
    this.#queue = queue
    this.#signal = signal
  }

  wait(): Promise<unknown> {
    this.#waiting ??= this.#queue.wait({ signal: this.#signal }).finally(() => {
      this.#waiting = undefined
    })
    // Nobody may be looking when it fails: the next one to wait is told, or receive() is.
    this.#waiting.catch(() => {})
    return this.#waiting
  }
}

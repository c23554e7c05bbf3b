/**
 * Shared by `forward` and `reflect`: moves frames from a receive queue to a transmit queue, and polls while frames arrive.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { PacketQueue } from '../../ethernet/index.js'
import { queueFlags } from '../queue-flags.js'
import { Yielder } from '../yielder.js'

/** Milliseconds without a frame before the program sleeps. */
const idleBeforeSleep = 0.2
/** Empty polls between two clock readings. */
const pollsPerClockReading = 16

/** FrameFlag and a VLAN tag as numbers, so that this module loads without the addon. */
const truncated = 1
const tagLength = 4

/** Options of the commands that relay frames. */
export const relayFlags = {
  busy: {
    type: 'boolean',
    short: 'b',
    help: 'poll for frames all the time instead of sleeping between them',
  },
  json: { type: 'boolean', help: 'print one JSON object at the end' },
  ...queueFlags,
} as const

/** One direction. */
export class Relay {
  frames = 0
  bytes = 0
  /** Frames received, but not forwarded because `change` refuses them. */
  ignored = 0
  /** Frames too long for the queue's frame size, received in part: not forwarded. */
  cut = 0
  readonly from: PacketQueue
  readonly to: PacketQueue
  readonly #change: (memory: Uint8Array, at: number, end: number) => boolean
  /** Slots of the batch, for the calls for many frames: one program serves several queues. */
  readonly #forwarded: Int32Array
  readonly #released: Int32Array

  /**
   * @param to a queue on the same frames
   * @param change edits a frame; returns false for one that must not be forwarded
   */
  constructor(
    from: PacketQueue,
    to: PacketQueue,
    change: (memory: Uint8Array, at: number, end: number) => boolean,
  ) {
    this.from = from
    this.to = to
    this.#change = change
    this.#forwarded = new Int32Array(from.batch)
    this.#released = new Int32Array(from.batch)
  }

  /** Moves the frames that have arrived, at most a batch; returns how many arrived. */
  move(): number {
    const { from, to } = this
    const { slots, offsets, lengths, flags } = from.columns
    const n = from.receive()
    let forwarded = 0
    let released = 0
    for (let i = 0; i < n; i++) {
      const slot = slots[i]
      const at = offsets[i]
      const length = lengths[i]
      if ((flags[i] & truncated) !== 0) {
        this.cut++
        this.#released[released++] = slot
      } else if (this.#change(from.memory, at, at + length)) {
        this.frames++
        this.bytes += length + (from.vlan(slot) === 0 ? 0 : tagLength)
        this.#forwarded[forwarded++] = slot
      } else {
        this.ignored++
        this.#released[released++] = slot
      }
    }
    if (released > 0) from.releaseMany(this.#released, released)
    if (forwarded > 0) to.forwardMany(this.#forwarded, forwarded)
    if (to.pending > 0) {
      to.submit()
      // The queue counts a frame that is refused and continues with the next; a fatal error ends the relay.
      if (to.error && fatal.includes(to.error.code)) throw to.error
    }
    return n
  }
}

/**
 * Errors of the interface, not of a frame. An interface that goes down ends reception; one that loses its carrier may regain
 * it, and meanwhile frames to send wait, as in a device's own ring.
 */
const fatal: readonly string[] = ['ENODEV', 'ENXIO', 'EPERM', 'EBADF']

export interface RelayOptions {
  signal: AbortSignal
  /** Never sleep: poll for frames all the time. */
  busy: boolean
  /** Called regularly, with the time of `performance.now()`. */
  look(now: number): void
}

/** Moves frames until the signal aborts. */
export async function relay(relays: readonly Relay[], options: RelayOptions): Promise<void> {
  const { signal, busy, look } = options
  const yielder = new Yielder()
  const queues = [...new Set(relays.map(({ from }) => from))]
  const sleepers = queues.map((queue) => new Sleeper(queue, signal))
  let last = performance.now()
  for (let empty = 0; !signal.aborted; ) {
    let moved = 0
    for (const each of relays) moved += each.move()
    if (moved === 0 && ++empty % pollsPerClockReading !== 0) continue
    const now = performance.now()
    if (moved > 0) {
      last = now
      empty = 0
    }
    look(now)
    if (!busy && now - last > idleBeforeSleep) {
      if (relays.some(({ to }) => to.error !== null)) await delay(1)
      else if (relays.some(({ to }) => to.pending > 0)) await yielder.yield()
      else await sleep(sleepers, look)
      last = performance.now()
    } else if (yielder.due(now)) await yielder.yield()
  }
}

/** Milliseconds between updates of the live line while nothing arrives. */
const lookEvery = 500

async function sleep(sleepers: readonly Sleeper[], look: (now: number) => void): Promise<void> {
  const timer = setInterval(() => look(performance.now()), lookEvery)
  try {
    await Promise.race(sleepers.map((sleeper) => sleeper.wait()))
  } finally {
    clearInterval(timer)
  }
}

/** A queue's wait that is one of several in a race: it continues when another's has ended. */
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
    // A failure may come when nothing awaits it: the next wait() or receive() throws it.
    this.#waiting.catch(() => {})
    return this.#waiting
  }
}

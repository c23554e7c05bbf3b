/** Sends frames at their due times. */
import type { PacketQueue } from '../../ethernet/index.js'
import { Pacer } from '../../ethernet/pacer.js'
import { LogHistogram } from '../../lab/log-histogram.js'
import { Yielder } from '../yielder.js'

/** A source of frames to send. */
export interface FrameSource {
  /** Called once, at the beginning of sending, with the time of `performance.now()`. */
  begin?(now: number): void
  /** Due time of the next frame, in milliseconds from the beginning; Infinity: there is none. */
  due(): number
  /** Writes the next frame to `memory` at `offset` and advances to the one after it; returns the frame's length. */
  write(memory: Uint8Array, offset: number): number
  /** Resolves when due() may return less than Infinity, or the signal aborts; undefined: the source has ended. */
  arrival?(signal: AbortSignal): Promise<void> | undefined
}

export interface TransmitOptions {
  signal: AbortSignal
  /** Milliseconds from the beginning after which no frame is sent. */
  until: number
  /** Called before each batch, and while nothing is due, with the time of `performance.now()`. */
  look(now: number): void
  /** Whether `look` must see an arrival at once: sending then polls until the next frame is due. */
  watching: boolean
  /** Number of first frames whose lateness is not recorded; 0 by default. */
  warmup?: number
}

export class Transmission {
  sent = 0
  bytes = 0
  /** Nanoseconds from a frame's due time until the kernel accepted it. */
  readonly lateness = new LogHistogram()
  /** Milliseconds from the first frame to the last. */
  elapsed = 0

  /** Frames per second: the number of gaps between frames, over the time they took. */
  get perSecond(): number {
    return this.sent > 1 && this.elapsed > 0 ? ((this.sent - 1) * 1000) / this.elapsed : 0
  }
}

/**
 * Sends all frames of a source, each as soon as possible after its due time; after a delay of the program, overdue frames go
 * out at once. Stops at the first frame that the kernel refuses.
 *
 * @param queue new: it has sent nothing yet
 * @param result updated while sending, so that an interruption loses none of it
 */
export async function transmit(
  queue: PacketQueue,
  source: FrameSource,
  result: Transmission,
  options: TransmitOptions,
): Promise<void> {
  const { signal, until, look, warmup = 0 } = options
  const yielder = new Yielder()
  const dues = new Float64Array(queue.batch)
  const lengths = new Float64Array(queue.batch)
  const begin = performance.now()
  source.begin?.(begin)
  let due = source.due()
  while (!signal.aborted) {
    if (due === Number.POSITIVE_INFINITY) {
      const arrival = source.arrival?.(signal)
      if (!arrival) break
      await arrival
      due = source.due()
      continue
    }
    if (due >= until) break
    let now = performance.now()
    if (yielder.due(now)) {
      await yielder.yield()
      now = performance.now()
    }
    look(now)
    if (begin + due > now) {
      await pause(begin + due, now, queue, options)
      continue
    }
    if (now - begin >= until) break
    let n = 0
    while (n < queue.batch && begin + due <= now && due < until) {
      const slot = queue.claim()
      if (slot < 0) break
      const length = source.write(queue.memory, queue.offset(slot))
      queue.send(slot, length)
      lengths[n] = length
      dues[n++] = due
      due = source.due()
    }
    const first = result.sent
    let taken = queue.submit()
    try {
      if (queue.error) throw queue.error
      if (taken < n) {
        // The kernel has no room for more: these frames go before any new one. It may have refused some.
        await queue.drain({ signal })
        taken = queue.statistics().transmitted - result.sent
      }
    } catch (error) {
      taken = queue.statistics().transmitted - result.sent
      throw error
    } finally {
      result.sent += taken
      for (let i = 0; i < taken; i++) result.bytes += lengths[i]
    }
    // All slots are in flight in the device.
    if (n === 0) await yielder.yield()
    const after = performance.now()
    result.elapsed = after - begin
    for (let i = Math.max(0, warmup - first); i < n; i++)
      result.lateness.record((after - begin - dues[i]) * 1e6)
  }
}

/** The longest delay of setTimeout(), in milliseconds. */
const maxTimer = 2 ** 31 - 1

/** Waits until a moment, or for a part of the time to it. */
async function pause(
  moment: number,
  now: number,
  queue: PacketQueue,
  { signal, watching }: TransmitOptions,
): Promise<void> {
  if (!watching) {
    if (!Pacer.hold(moment)) await Pacer.sleep(moment, { signal })
    return
  }
  // Far from the moment, an arrival wakes the wait too; near it, the caller polls.
  if (moment - now < 2 || signal.aborted) return
  const timer = new AbortController()
  const timeout = setTimeout(() => timer.abort(), Math.min(moment - now - 1, maxTimer))
  const stop = () => timer.abort()
  signal.addEventListener('abort', stop)
  try {
    await queue.wait({ signal: timer.signal })
  } catch (error) {
    if (!timer.signal.aborted) throw error
  } finally {
    clearTimeout(timeout)
    signal.removeEventListener('abort', stop)
  }
}

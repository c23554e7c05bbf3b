/** Sends frames when they are due. */
import type { PacketQueue } from '../../ethernet/index.js'
import { Pacer } from '../../ethernet/pacer.js'
import { LogHistogram } from '../../lab/log-histogram.js'
import { Breath } from '../breath.js'

/** Where the frames come from. */
export interface FrameSource {
  /** Tells when the beginning is, in milliseconds of `performance.now()`. */
  begin?(now: number): void
  /** When the next frame is due, in milliseconds from the beginning; Infinity: there is none. */
  due(): number
  /** Writes the next frame to `memory`, from `offset` on, and goes on to the one after it; gives the frame's length. */
  write(memory: Uint8Array, offset: number): number
  /** Resolves when due() has more to say than Infinity, or the signal aborts; undefined: there is nothing more to come. */
  arrival?(signal: AbortSignal): Promise<void> | undefined
}

export interface TransmitOptions {
  signal: AbortSignal
  /** Milliseconds from the beginning after which no frame is sent. */
  until: number
  /** Called before each batch, and while nothing is due, with the time of `performance.now()`. */
  look(now: number): void
  /** When something arrives is to be seen at once: the time until a frame is due is spent looking. */
  watching: boolean
  /** Frames whose lateness does not count; none by default. */
  warmup?: number
}

export class Transmission {
  sent = 0
  bytes = 0
  /** Nanoseconds from when a frame was due to when the kernel had taken it. */
  readonly lateness = new LogHistogram()
  /** Milliseconds from the first frame to the last. */
  elapsed = 0

  /** Frames a second: as many gaps between frames as there were, in the time that they took. */
  get perSecond(): number {
    return this.sent > 1 && this.elapsed > 0 ? ((this.sent - 1) * 1000) / this.elapsed : 0
  }
}

/**
 * Sends all frames of a source, each as soon after it is due as can be: when the program was held up, what is overdue goes
 * out at once. Gives up on the first frame that the kernel refuses.
 *
 * @param queue new: nothing was sent with it before
 * @param result counts while it goes, so that an interruption loses nothing of it
 */
export async function transmit(
  queue: PacketQueue,
  source: FrameSource,
  result: Transmission,
  options: TransmitOptions,
): Promise<void> {
  const { signal, until, look, warmup = 0 } = options
  const breath = new Breath()
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
    if (breath.due(now)) {
      await breath.take()
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
        // The kernel has no more room: what is there goes before anything new. Some may have been refused.
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
    // All frames are on their way through the device.
    if (n === 0) await breath.take()
    const after = performance.now()
    result.elapsed = after - begin
    for (let i = Math.max(0, warmup - first); i < n; i++)
      result.lateness.record((after - begin - dues[i]) * 1e6)
  }
}

/** Of setTimeout(), in milliseconds. */
const longestTimer = 2 ** 31 - 1

/** Waits for a moment, or a part of the way to it. */
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
  // Far from the moment an arrival wakes us too, near to it the caller looks all the time.
  if (moment - now < 2 || signal.aborted) return
  const timer = new AbortController()
  const timeout = setTimeout(() => timer.abort(), Math.min(moment - now - 1, longestTimer))
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

import { Readable } from 'node:stream'
import { afterRest } from '../after-rest.js'
import { abortSignal, boolean, instance, integer, type Names, options as optionsOf } from '../argument.js'
import type { CapturedFrame } from '../capture/captured-frame.js'
import { FrameFlag } from './frames.js'
import { PacketQueue } from './packet-queue.js'
import { copyFrame, wireLength } from './wire-frame.js'

/** A copy of a received frame. */
export interface ReceivedFrame extends CapturedFrame {
  /** {@link FrameFlag} bits. */
  flags: number
  /** Its addressee: {@link PacketType}. */
  packetType: number
  /**
   * The VLAN tag that the kernel stripped from the frame (TPID << 16 | TCI, unsigned) and that `data` contains again; 0
   * if it stripped none.
   */
  vlan: number
}

/** Options of {@link FrameReadable}. */
export interface FrameReadableOptions {
  /** Ends the stream: it is destroyed with an AbortError. Default: none. */
  signal?: AbortSignal
  /** How many frames are copied ahead of the reader; further frames wait in the queue. Default 64. */
  highWaterMark?: number
  /**
   * Complete partial checksums ({@link FrameFlag.checksumPartial}), as a device would: they occur in frames that this
   * host's own kernel sends. Default false: the bytes as received.
   */
  completeChecksums?: boolean
  /** Close the queue when the stream closes. Default false: the caller closes it. */
  closeQueue?: boolean
}
const frameReadableOptionNames = {
  signal: true,
  highWaterMark: true,
  completeChecksums: true,
  closeQueue: true,
} as const satisfies Names<FrameReadableOptions>

/**
 * The received frames of a queue, as a stream of copies: `for await (const { data } of new FrameReadable(queue))`.
 *
 * The stream is the queue's one consumer. It copies no more than its reader takes; the kernel queues the rest, and
 * counts the frames that it then drops (`queue.statistics()`). The stream ends when the queue is closed, or after
 * {@link stop}; it fails when the interface goes down or disappears, after the frames received before. Each frame's
 * objects cost many times as much as the queue's own calls.
 */
export class FrameReadable extends Readable {
  readonly #queue: PacketQueue
  readonly #completeChecksums: boolean
  readonly #closeQueue: boolean
  readonly #stop = new AbortController()
  #next = 0
  #count = 0
  #reading = false

  /** @throws TypeError, RangeError */
  constructor(queue: PacketQueue, options?: FrameReadableOptions) {
    instance('queue', queue, PacketQueue)
    const {
      signal,
      highWaterMark = 64,
      completeChecksums = false,
      closeQueue = false,
    } = optionsOf('options', options, frameReadableOptionNames)
    abortSignal('options.signal', signal)
    boolean('options.completeChecksums', completeChecksums)
    boolean('options.closeQueue', closeQueue)
    super({
      objectMode: true,
      highWaterMark: integer('options.highWaterMark', highWaterMark, 1, 2 ** 20),
      signal,
    })
    this.#queue = queue
    this.#completeChecksums = completeChecksums
    this.#closeQueue = closeQueue
  }

  /** Stops receiving: the stream delivers the frames received so far, then ends. */
  stop(): void {
    this.#stop.abort()
  }

  override _read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#pump().catch((error: Error) => afterRest(this, () => this.destroy(error)))
  }

  async #pump(): Promise<void> {
    try {
      await this.#deliverAll()
    } finally {
      // At once, not a microtask later: the reader may read again before that.
      this.#reading = false
    }
  }

  /** Delivers frames until the reader has enough, or there are no more. */
  async #deliverAll(): Promise<void> {
    const queue = this.#queue
    const { signal } = this.#stop
    while (!this.destroyed) {
      while (this.#next < this.#count) if (!this.#deliver()) return
      if (queue.closed) break
      this.#count = queue.receive()
      this.#next = 0
      if (this.#count > 0) continue
      if (signal.aborted) break
      try {
        await queue.wait({ signal })
      } catch (error) {
        if (!queue.closed && !signal.aborted) throw error
      }
    }
    if (!this.destroyed) this.push(null)
  }

  /** Delivers one frame; returns whether the reader wants more. */
  #deliver(): boolean {
    const queue = this.#queue
    if (queue.closed) {
      this.#count = 0
      return true
    }
    const slot = queue.slot(this.#next++)
    // The checksum of a truncated frame cannot be computed.
    if (this.#completeChecksums && (queue.flags(slot) & FrameFlag.truncated) === 0)
      queue.completeChecksum(slot)
    const frame: ReceivedFrame = {
      data: copyFrame(queue, slot),
      originalLength: wireLength(queue, slot),
      seconds: queue.seconds(slot),
      nanoseconds: queue.nanoseconds(slot),
      flags: queue.flags(slot),
      packetType: queue.packetType(slot),
      vlan: queue.vlan(slot),
    }
    queue.release(slot)
    return this.push(frame)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stop.abort()
    const queue = this.#queue
    if (!queue.closed) {
      while (this.#next < this.#count) queue.release(queue.slot(this.#next++))
      if (this.#closeQueue) queue.close()
    }
    done(error)
  }
}

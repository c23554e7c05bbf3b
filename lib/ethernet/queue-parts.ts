import type { Batch } from './batch.js'
import type { FramePool } from './frames.js'
import type { Outcome } from './hot/state.js'

/** What a queue gives to the two halves that move its frames. */
export interface QueueParts {
  readonly frames: FramePool
  /** Where receive() puts what it took. */
  readonly batch: Batch
  /** Where submit() says how it went: the queue itself. */
  readonly outcome: Outcome
  /** Owns the frames that wait to receive, and holder + 1 the sent ones (lib/ring/slots.ts). */
  readonly holder: number
  /** One word: not 0 once the queue is closed. */
  readonly closed: Int32Array
  /** Called on libuv's loop, after a port was armed or when its interface changed. */
  onEvent(): void
}

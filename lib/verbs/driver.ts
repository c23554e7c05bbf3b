/** Who drives a queue's rings instead of libibverbs: ibverbs/mlx5 has one. */
import type { CreatedQueuePair } from './queue-pair/create.js'

/** What a driver of a completion queue gets. @internal */
export interface DrivenCompletionQueue {
  handle: number
  /** The columns, one behind the other (request/records.ts). */
  columns: Uint32Array
  batch: number
  /** Throws the error of a closed queue. */
  closed(): never
}

/** @internal */
export interface CompletionDriver {
  /** {@link CompletionQueue.poll} */
  poll(): number
  /** Asks for an event at the next completion, or the next that is solicited or failed. */
  arm(solicitedOnly: boolean): void
}

/** @internal */
export interface QueuePairDriver {
  /**
   * Takes the requests out of both rings, receives first. The control words then say how many the device has and why one
   * was refused, as the binding's do; {@link Control.submitted} stays as it is when the queue pair is closed.
   */
  submit(): void
  /** Whether every send that generates a completion has completed, polled or not. */
  settled(): boolean
  /** The queue pair's state (ibv_qp_state), as the device told it. */
  told(state: number): void
  /** The queue pair went to RESET: the device has none of its requests. */
  reset(): void
}

/** Takes over a queue that was just created. @internal */
export type DriveCompletionQueue = (queue: DrivenCompletionQueue) => CompletionDriver
/** @internal */
export type DriveQueuePair = (pair: CreatedQueuePair) => QueuePairDriver

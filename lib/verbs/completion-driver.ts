/** Who reads a completion queue's ring instead of libibverbs: ibverbs/mlx5 has one. */

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

/** Takes over a queue that was just created. @internal */
export type DriveCompletionQueue = (queue: DrivenCompletionQueue) => CompletionDriver

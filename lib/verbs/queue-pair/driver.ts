/** Who drives a queue pair's rings instead of libibverbs: ibverbs/mlx5 has one. */
import type { CreatedQueuePair } from './created.js'

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

/** Takes over a queue pair that was just created. @internal */
export type DriveQueuePair = (pair: CreatedQueuePair) => QueuePairDriver
